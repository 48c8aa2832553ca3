package voting

import (
	"context"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/tracing"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// Spans of votes. Each sampled vote has a span `decide vote` in its request's trace; the batch that decides it has a span of its own,
// a root, since it belongs to no single request, and the two are linked both ways. What is done for the batch as a whole (admit,
// produce, settle, commit) stands below the batch. A vote that nobody traces has none of this, and costs nothing more.

// traced is what a job has whose vote is traced.
type traced struct {
	span    trace.Span
	queued  time.Time // when it last began to wait
	batches int       // that it was in
}

// traceVote begins the span of a vote whose sender told the context of a sampled one. A malformed context is none.
func (e *Engine) traceVote(traceparent string) *traced {
	if traceparent == "" || tracing.Off(e.Tracer) {
		return nil
	}
	parent := tracing.ParseTraceparent(traceparent)
	if !parent.IsSampled() {
		return nil
	}
	_, span := e.Tracer.Start(trace.ContextWithRemoteSpanContext(e.ctx, parent), "decide vote")
	return newTraced(span)
}

// traceRetraction begins the span of a retraction, whose call is its own.
func traceRetraction(ctx context.Context) *traced {
	_, span := tracing.Start(ctx, "decide vote")
	return newTraced(span)
}

func newTraced(span trace.Span) *traced {
	if !span.IsRecording() {
		return nil
	}
	return &traced{span: span, queued: time.Now()}
}

// in is a context of the engine for what is done for this vote alone.
func (j *job) in(ctx context.Context) context.Context {
	if j.trace == nil {
		return ctx
	}
	return trace.ContextWithSpan(ctx, j.trace.span)
}

// endTrace ends the span of a vote with its answer.
func (j *job) endTrace() {
	if j.trace == nil {
		return
	}
	span := j.trace.span
	span.SetAttributes(
		attribute.String("littlevote.code", codeName(int(j.verdict.GetCode()))),
		attribute.String("littlevote.outcome", strings.TrimPrefix(j.verdict.GetOutcome().String(), "OUTCOME_")),
		attribute.Int("littlevote.attempts", j.trace.batches),
	)
	if faulty(j.verdict.GetCode()) {
		tracing.Fail(span)
	}
	span.End()
}

// faulty says that a code speaks of a failure here, and is no answer of the rules.
func faulty(code statusv1.Code) bool {
	switch code {
	case statusv1.Code_CODE_INTERNAL, statusv1.Code_CODE_UNAVAILABLE, statusv1.Code_CODE_OUTCOME_UNKNOWN:
		return true
	default:
		return false
	}
}

// traceBatch begins the span of a batch if a vote in it is traced, and gives the batch the context for all that is done for it.
func (e *Engine) traceBatch(n *batch) {
	ctx, span := tracing.Batch(e.ctx, "vote batch", "votes", n.jobs, (*job).ownSpan)
	n.ctx = ctx
	if !span.IsRecording() {
		return
	}
	n.span = span
	now, oldest := time.Now(), time.Duration(0)
	for _, j := range n.jobs {
		if j.trace == nil {
			continue
		}
		wait := now.Sub(j.trace.queued)
		oldest = max(oldest, wait)
		j.trace.batches++
		j.trace.span.SetAttributes(
			attribute.String("littlevote.ledger", n.ledgerName()),
			attribute.Float64("littlevote.queue_wait_ms", milliseconds(wait)),
		)
	}
	span.SetAttributes(
		attribute.String("littlevote.batch.id", n.id.String()),
		attribute.String("littlevote.ballot", n.ballot.name),
		attribute.String("littlevote.ledger", n.ledgerName()),
		attribute.Int64("littlevote.lane", int64(n.lane)),
		attribute.Float64("littlevote.queue_wait_ms", milliseconds(oldest)),
	)
}

// ownSpan is the span of a vote, nil for nearly all.
func (j *job) ownSpan() trace.Span {
	if j.trace == nil {
		return nil
	}
	return j.trace.span
}

// ledgerName is the ledger that decides the batch.
func (n *batch) ledgerName() string {
	if n.ledger.Mode == epoch.Postgres {
		return "postgres"
	}
	return "redis"
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// came marks the span of a batch that met a failure.
func (n *batch) came(r refusal) {
	if n.span != nil && faulty(r.code) {
		tracing.Fail(n.span)
	}
}

// endTrace ends the span of a batch with what became of it.
func (n *batch) endTrace() {
	if n.span == nil {
		return
	}
	n.span.SetAttributes(
		attribute.Int("littlevote.votes.accepted", n.counted),
		attribute.Int("littlevote.attempts", 1+n.again),
	)
	if n.way != "" {
		n.span.SetAttributes(attribute.String("littlevote.way", n.way))
	}
	n.span.End()
}

// round is the spans of one round trip, which settles one batch and admits the next.
type round struct{ settle, admit trace.Span }

// beginRound returns the context of the round trip: it can be shown below one of the two spans only.
func (e *Engine) beginRound(last, next *batch) (context.Context, round) {
	ctx, r := e.ctx, round{}
	if last != nil && last.span != nil {
		ctx, r.settle = tracing.Start(last.ctx, "settle")
	}
	if next != nil && next.span != nil {
		ctx, r.admit = tracing.Start(next.ctx, "admit")
	}
	return ctx, r
}

func (r round) end(admitted redisledger.Admitted, settled redisledger.SettleReply) {
	if r.admit != nil {
		tracing.End(r.admit, admitted.Err)
	}
	if r.settle != nil {
		tracing.End(r.settle, settled.Err)
	}
}

// settle settles a batch by itself.
func (e *Engine) settle(ctx context.Context, n *batch) redisledger.SettleReply {
	ctx, span := tracing.Start(ctx, "settle")
	reply := e.Redis.Settle(ctx, n.settlement())
	tracing.End(span, reply.Err)
	return reply
}

// startCommit begins the span of a transaction that decides a batch, or takes it in the log's place.
func startCommit(ctx context.Context, way string) (context.Context, trace.Span) {
	ctx, span := tracing.Start(ctx, "commit")
	if span.IsRecording() {
		span.SetAttributes(attribute.String("littlevote.ledger", "postgres"), attribute.String("littlevote.way", way))
	}
	return ctx, span
}

// durableBy counts a batch that has become durable.
func (e *Engine) durableBy(n *batch, way int) {
	e.durable[way].Add(1)
	n.way = ways[way]
}
