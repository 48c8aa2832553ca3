package service

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// tellLostSpans is how often it is logged at most that spans can't be sent.
const tellLostSpans = time.Minute

// spans sends spans, counts them, and tells of failures in our log: without it the library would tell a global error handler, each
// time.
type spans struct {
	next sdk.SpanExporter
	log  *slog.Logger

	ended, sent, failed atomic.Int64
	told                atomic.Int64 // when, in nanoseconds of the Unix clock
}

// ExportSpans is part of sdk.SpanExporter. It is called by one worker.
func (s *spans) ExportSpans(ctx context.Context, batch []sdk.ReadOnlySpan) error {
	err := s.next.ExportSpans(ctx, batch)
	if err == nil {
		s.sent.Add(int64(len(batch)))
		return nil
	}
	failed := s.failed.Add(int64(len(batch)))
	if now := time.Now().UnixNano(); now-s.told.Load() >= int64(tellLostSpans) {
		s.told.Store(now)
		s.log.WarnContext(ctx, "spans cannot be sent and are dropped", "dropped", failed, "error", err)
	}
	return nil
}

// Shutdown is part of sdk.SpanExporter.
func (s *spans) Shutdown(ctx context.Context) error { return s.next.Shutdown(ctx) }

// observe publishes the counts. What ended and was neither sent nor failed waits, or was dropped since the queue was full.
func (s *spans) observe(meter metric.Meter) error {
	_, err := meter.Int64ObservableCounter("littlevote.trace.spans", metric.WithUnit("{span}"),
		metric.WithDescription("Spans of this process, by what became of them: ended, and of these sent to the collector or failed."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			for result, count := range map[string]*atomic.Int64{"ended": &s.ended, "sent": &s.sent, "failed": &s.failed} {
				o.Observe(count.Load(), metric.WithAttributes(attribute.String("result", result)))
			}
			return nil
		}))
	return err
}

// ends is a processor that counts.
type ends struct{ *spans }

// OnStart is part of sdk.SpanProcessor.
func (ends) OnStart(context.Context, sdk.ReadWriteSpan) {}

// OnEnd is part of sdk.SpanProcessor.
func (e ends) OnEnd(sdk.ReadOnlySpan) { e.ended.Add(1) }

// Shutdown is part of sdk.SpanProcessor.
func (ends) Shutdown(context.Context) error { return nil }

// ForceFlush is part of sdk.SpanProcessor.
func (ends) ForceFlush(context.Context) error { return nil }
