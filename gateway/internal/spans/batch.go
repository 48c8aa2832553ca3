package spans

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/littlevote/littlevote/libs/tracing"
)

// Batch begins the span of a call that carries items, each of which has a span. It is a root of its own, since no single
// request has caused it, and is linked with the spans of those that are sampled, as they are with it: with the first
// ones only where they are many. Where none is, it is no span at all. The caller ends it.
func Batch[T any](ctx context.Context, name string, items []T, spanOf func(T) trace.Span) (context.Context, trace.Span) {
	var carried []trace.Span
	for _, item := range items {
		span := spanOf(item)
		// Reads of one request stand side by side.
		if span != nil && span.IsRecording() && (len(carried) == 0 || carried[len(carried)-1] != span) {
			carried = append(carried, span)
		}
	}
	if len(carried) == 0 {
		return ctx, none
	}
	links := make([]trace.Link, 0, min(len(carried), tracing.MaxLinks))
	for _, span := range carried[:cap(links)] {
		links = append(links, trace.Link{SpanContext: span.SpanContext()})
	}
	ctx, batch := carried[0].TracerProvider().Tracer(tracing.Scope).Start(ctx, name, trace.WithNewRoot(), trace.WithLinks(links...))
	for _, span := range carried {
		span.AddEvent("sent")
		span.AddLink(trace.Link{SpanContext: batch.SpanContext()})
	}
	batch.SetAttributes(attribute.Int("littlevote.batch.size", len(items)), attribute.Int("littlevote.batch.sampled", len(carried)))
	return ctx, batch
}

// none is the span of what is not sampled.
var none = trace.SpanFromContext(context.Background())

// Waited says how long it has waited in a queue what this is the span of; nil for none.
func Waited(span trace.Span, wait time.Duration) {
	if span != nil && span.IsRecording() {
		span.SetAttributes(attribute.Float64("littlevote.queue_wait_ms", milliseconds(wait)))
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
