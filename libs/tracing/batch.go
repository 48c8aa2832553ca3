package tracing

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// Batch begins the span of work that is done once for many items, such as "votes", each of which has a span. It is a root of its
// own, since none of them alone has caused it, and it is linked with the spans that are recording, as they are with it: with the
// first ones only where they are many. Where none is, there is no span, and nothing is allocated. The caller ends it.
func Batch[T any](ctx context.Context, name, what string, items []T, spanOf func(T) trace.Span) (context.Context, trace.Span) {
	var carried []trace.Span
	for _, item := range items {
		span := spanOf(item)
		// Items of one request stand side by side.
		if span != nil && span.IsRecording() && (len(carried) == 0 || carried[len(carried)-1] != span) {
			carried = append(carried, span)
		}
	}
	if len(carried) == 0 {
		return ctx, idle
	}
	links := make([]trace.Link, min(len(carried), MaxLinks))
	for i := range links {
		links[i].SpanContext = carried[i].SpanContext()
	}
	ctx, batch := carried[0].TracerProvider().Tracer(Scope).Start(ctx, name, trace.WithNewRoot(), trace.WithLinks(links...),
		trace.WithAttributes(attribute.Int("littlevote."+what, len(items)), attribute.Int("littlevote."+what+".sampled", len(carried))))
	link := trace.Link{SpanContext: batch.SpanContext()}
	for _, span := range carried {
		span.AddLink(link)
	}
	return ctx, batch
}
