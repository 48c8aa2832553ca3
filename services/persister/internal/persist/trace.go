package persist

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/tracing"
)

// Spans of records. A record of a traced batch has a span `apply batch` in that batch's trace, from when it was polled until it is
// passed. The transaction that passes it has a span of its own, a root, since many batches share it, and the two are linked both
// ways. What nobody traces has none of this.

// traceItem begins the span of a record, if its producer's was sampled.
func (s *session) traceItem(i *item) {
	if tracing.Off(s.cfg.Tracer) {
		return
	}
	ctx := events.Extract(context.Background(), i.record)
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return
	}
	_, span := s.cfg.Tracer.Start(ctx, "apply batch", trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
		attribute.String("messaging.system", "kafka"),
		attribute.String("messaging.destination.name", i.record.Topic),
		attribute.Int64("messaging.destination.partition.id", int64(i.record.Partition)),
		attribute.Int64("messaging.kafka.offset", i.record.Offset),
		attribute.Float64("littlevote.log_wait_ms", float64(time.Since(i.record.Timestamp).Microseconds())/1000),
		attribute.Int("littlevote.votes", len(i.batch.GetVotes())),
	))
	if !span.IsRecording() {
		return
	}
	if i.batch != nil {
		span.SetAttributes(attribute.String("littlevote.batch.id", pgledger.Event{VoteBatch: i.batch}.ID().String()))
	}
	i.span = span
}

// endTrace ends the span of a record with what became of it.
func (i *item) endTrace(verdict string, failed bool) {
	if i.span == nil {
		return
	}
	i.span.SetAttributes(attribute.String("littlevote.verdict", verdict), attribute.Int("littlevote.attempts", i.tries))
	if failed {
		tracing.Fail(i.span)
	}
	i.span.End()
}

// startTransaction begins the span of one try to pass items, if one of them is traced.
func startTransaction(ctx context.Context, items []*item) (context.Context, trace.Span) {
	ctx, span := tracing.Batch(ctx, "persist transaction", "records", items, func(i *item) trace.Span { return i.span })
	votes, partitions := 0, map[int32]bool{}
	for _, i := range items {
		i.tries++
		if span.IsRecording() {
			votes += len(i.batch.GetVotes())
			partitions[i.record.Partition] = true
		}
	}
	if span.IsRecording() {
		span.SetAttributes(attribute.Int("littlevote.votes", votes), attribute.Int("littlevote.partitions", len(partitions)))
	}
	return ctx, span
}

// endTransaction ends the span of a transaction, and those of the items that it has passed.
func endTransaction(span trace.Span, items []*item, result pgledger.Result, err error) {
	if span.IsRecording() {
		span.SetAttributes(attribute.Int("littlevote.rows", result.Rows), attribute.Int64("littlevote.epoch", result.Epoch.Number))
	}
	tracing.End(span, err)
	if err != nil {
		return
	}
	verdicts := result.Verdicts
	for _, i := range items {
		if i.batch == nil {
			i.endTrace("dead_letter", true)
			continue
		}
		i.endTrace(verdictName(verdicts[0]), verdicts[0] == pgledger.EpochOver || verdicts[0] == pgledger.Certified)
		verdicts = verdicts[1:]
	}
}
