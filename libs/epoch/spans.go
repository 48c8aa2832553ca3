package epoch

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/tracing"
)

// startChange begins the span of a change from one epoch to the next. Each try is one of its own.
func (c *Changer) startChange(ctx context.Context, row pgledger.Epoch) (context.Context, trace.Span) {
	ctx, span := tracing.Root(ctx, c.Tracer, "change epoch")
	if span.IsRecording() {
		span.SetAttributes(
			attribute.Int64("littlevote.epoch", row.Number), attribute.String("littlevote.epoch.mode", row.Mode),
		)
	}
	return ctx, span
}

// traced is a step that asks again and again, or much, seen as one.
func traced(ctx context.Context, name string, step func(context.Context) error) error {
	_, span := tracing.Start(ctx, name)
	err := step(tracing.Quiet(ctx))
	tracing.End(span, err)
	return err
}
