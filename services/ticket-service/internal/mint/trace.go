package mint

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/tracing"
)

// startSpan begins the span of a proposal, a root: nobody has asked for it. The ticket's value is in none.
func (l *loop) startSpan(ctx context.Context, in epoch.Ledger, version string) (context.Context, trace.Span) {
	ctx, span := tracing.Root(ctx, l.m.Tracer, "mint ticket")
	if span.IsRecording() {
		span.SetAttributes(
			attribute.String("littlevote.ballot", l.ballot),
			attribute.String("littlevote.epoch.mode", string(in.Mode)),
			attribute.String("littlevote.ticket.version", version),
		)
	}
	return ctx, span
}

// endSpan ends it with the ledger's answer. That another was quicker is no failure.
func endSpan(span trace.Span, done redisledger.Minted, err error) {
	if span.IsRecording() {
		span.SetAttributes(attribute.String("littlevote.mint", string(done)))
	}
	tracing.End(span, err)
}
