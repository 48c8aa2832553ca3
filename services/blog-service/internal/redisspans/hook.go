// Package redisspans shows the commands for Redis in traces: which they are, and never a key or a value, since names, sessions and
// addresses are in those.
package redisspans

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/littlevote/littlevote/libs/tracing"
)

// Hook makes a span of each round trip, where the span of the caller is recording.
type Hook struct{}

// DialHook is part of redis.Hook.
func (Hook) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		return next(ctx, network, address)
	}
}

// ProcessHook is part of redis.Hook.
func (Hook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		ctx, span := start(ctx, cmd)
		err := next(ctx, cmd)
		end(span, err)
		return err
	}
}

// ProcessPipelineHook is part of redis.Hook.
func (Hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		ctx, span := start(ctx, cmds...)
		err := next(ctx, cmds)
		end(span, err)
		return err
	}
}

func start(ctx context.Context, cmds ...redis.Cmder) (context.Context, trace.Span) {
	ctx, span := tracing.StartKind(ctx, trace.SpanKindClient, "redis")
	if !span.IsRecording() {
		return ctx, span
	}
	var names []string
	for _, cmd := range cmds {
		if name := strings.ToUpper(cmd.Name()); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	span.SetName("redis " + strings.Join(names, ", "))
	span.SetAttributes(attribute.String("db.system.name", "redis"), attribute.StringSlice("db.operation.name", names))
	if len(cmds) > 1 {
		span.SetAttributes(attribute.Int("db.operation.batch.size", len(cmds)))
	}
	return ctx, span
}

// end ends it. That there is nothing under a key is an answer.
func end(span trace.Span, err error) {
	if errors.Is(err, redis.Nil) || redis.HasErrorPrefix(err, "NOSCRIPT") {
		err = nil
	}
	tracing.End(span, err)
}
