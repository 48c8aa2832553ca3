package tracing

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

const (
	traceparent = "traceparent"
	// traceparentBytes is how long one of version 00 is.
	traceparentBytes = 55
)

// Inject writes the context of the span in ctx to headers, as W3C traceparent and tracestate; nothing where there is no span.
// Baggage is not carried: strangers could fill it.
func Inject(ctx context.Context, headers propagation.TextMapCarrier) {
	propagation.TraceContext{}.Inject(ctx, headers)
}

// Extract returns ctx with the remote span that headers name. What is malformed names none.
func Extract(ctx context.Context, headers propagation.TextMapCarrier) context.Context {
	return propagation.TraceContext{}.Extract(ctx, headers)
}

// Traceparent is the context of the span in ctx as a W3C traceparent; empty where it is not sampled: then nobody goes on from it.
func Traceparent(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return ""
	}
	headers := propagation.MapCarrier{}
	Inject(ctx, headers)
	return headers[traceparent]
}

// ParseTraceparent is the inverse of Traceparent. Whatever is not one is a context that is not valid, and no error: a bad one
// may cost a trace, and never a vote.
func ParseTraceparent(text string) trace.SpanContext {
	if len(text) != traceparentBytes {
		return trace.SpanContext{}
	}
	return trace.SpanContextFromContext(Extract(context.Background(), propagation.MapCarrier{traceparent: text}))
}
