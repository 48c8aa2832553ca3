// Package tracing makes the tracer of a process and starts the spans below a root. Roots come from that tracer
// (service.Host.Tracer); everything below takes the tracer provider from the span in its context, so that nothing has to be handed
// through, and nothing is global.
//
// Where the span in the context is not recording nothing happens, and nothing is allocated: most votes are not sampled. On a path
// that many votes take, attributes are set after a look at IsRecording, since a list of arguments is allocated by its caller.
//
// Traces never hold anybody up: spans are sent by a worker of their own from a bounded queue, and dropped where it is full. No
// attribute holds what a voter said or is, no text of an error, and no value of a statement.
package tracing

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Scope names the instrumentation in every span of ours.
const Scope = "github.com/littlevote/littlevote"

// MaxLinks is how many links a span has at most: of a batch of a thousand sampled votes it names so many.
const MaxLinks = 128

// Start starts a child of the span in ctx, if that one is recording. The caller ends it, with End or by itself.
func Start(ctx context.Context, name string, attributes ...attribute.KeyValue) (context.Context, trace.Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, idle
	}
	return parent.TracerProvider().Tracer(Scope).Start(ctx, name, trace.WithAttributes(attributes...))
}

// StartKind is Start for the ways out of a process: a call, a record that is produced.
func StartKind(ctx context.Context, kind trace.SpanKind, name string) (context.Context, trace.Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, idle
	}
	return parent.TracerProvider().Tracer(Scope).Start(ctx, name, trace.WithSpanKind(kind))
}

// Root starts a span without a parent. With links it is sampled if one of them is, without by the ratio of the process.
func Root(ctx context.Context, tracer trace.Tracer, name string, links ...trace.Link) (context.Context, trace.Span) {
	if Off(tracer) {
		return ctx, idle
	}
	return tracer.Start(ctx, name, trace.WithNewRoot(), trace.WithLinks(links...))
}

// Quiet is a context below which nobody starts spans: for what is asked again and again until it comes true.
func Quiet(ctx context.Context) context.Context { return trace.ContextWithSpan(ctx, idle) }

// Off says that a process traces nothing, whoever asks.
func Off(tracer trace.Tracer) bool {
	_, off := tracer.(noop.Tracer)
	return tracer == nil || off
}

// End ends a span, and marks it as failed if there is an error. The text of the error stays out: it may hold names of voters.
func End(span trace.Span, err error) {
	if err != nil {
		Fail(span)
	}
	span.End()
}

// Fail marks a span as failed. Collectors keep such traces.
func Fail(span trace.Span) {
	if span.IsRecording() {
		span.SetStatus(codes.Error, "failed")
	}
}

// idle is the span of whoever is not sampled.
var idle = trace.SpanFromContext(context.Background())
