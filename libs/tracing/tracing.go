// Package tracing starts the spans below a root. Roots come from the tracer of the process (service.Host.Tracer); everything below
// takes the tracer provider from the span in its context, so that nothing has to be handed through.
//
// Where the span in the context is not recording nothing happens, and nothing is allocated: most votes are not sampled.
package tracing

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Scope names the instrumentation in every span of ours.
const Scope = "github.com/littlevote/littlevote"

// Start starts a child of the span in ctx, if that one is recording. The caller ends it, with End or by itself.
func Start(ctx context.Context, name string, attributes ...attribute.KeyValue) (context.Context, trace.Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, idle
	}
	return parent.TracerProvider().Tracer(Scope).Start(ctx, name, trace.WithAttributes(attributes...))
}

// End ends a span, and marks it as failed if there is an error. The text of the error stays out: it may hold names of voters.
func End(span trace.Span, err error) {
	if err != nil && span.IsRecording() {
		span.SetStatus(codes.Error, "failed")
	}
	span.End()
}

// idle is the span of whoever is not sampled.
var idle = trace.SpanFromContext(context.Background())
