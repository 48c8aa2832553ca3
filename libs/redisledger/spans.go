package redisledger

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/littlevote/littlevote/libs/tracing"
)

// startCalls makes a span of one round trip, where the caller's span is recording. It is named by the scripts; keys and arguments
// stay out, since voters and candidates are in them.
func startCalls(ctx context.Context, calls []call) (context.Context, trace.Span) {
	ctx, span := tracing.StartKind(ctx, trace.SpanKindClient, "redis")
	if !span.IsRecording() {
		return ctx, span
	}
	names := make([]string, len(calls))
	for i, c := range calls {
		names[i] = scriptNames[c.script.Hash()]
	}
	span.SetName("redis " + strings.Join(names, ", "))
	span.SetAttributes(
		attribute.String("db.system.name", "redis"),
		attribute.String("db.operation.name", "EVALSHA"),
		attribute.StringSlice("littlevote.scripts", names),
	)
	return ctx, span
}

// endCalls ends it. What Redis decided is no failure.
func endCalls(span trace.Span, cmds []once) {
	if span.IsRecording() {
		for _, cmd := range cmds {
			if failure(cmd.Err()) != "" {
				tracing.Fail(span)
			}
		}
	}
	span.End()
}
