package voting

import (
	"context"
	"errors"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// Observe publishes what an operator wants to see of the engine.
func (e *Engine) Observe(meter metric.Meter) error {
	_, queued := meter.Int64ObservableGauge("vote.queued",
		metric.WithDescription("Votes that wait for a batch, by ballot."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			for _, b := range e.ballots.all() {
				o.Observe(int64(b.queue.Len()+b.retractions.Len()), metric.WithAttributes(attribute.String("ballot", b.name)))
			}
			return nil
		}))
	_, durable := meter.Int64ObservableCounter("vote.batches",
		metric.WithDescription("Batches made durable, by way: the log, Postgres in its place, or a vote in Postgres while Redis is away."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			for i, name := range ways {
				o.Observe(e.durable[i].Load(), metric.WithAttributes(attribute.String("way", name)))
			}
			return nil
		}))
	_, decided := meter.Int64ObservableCounter("vote.decided",
		metric.WithDescription("Votes answered, by outcome."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			for i := range e.answered {
				o.Observe(e.answered[i].Load(), metric.WithAttributes(
					attribute.String("outcome", strings.TrimPrefix(statusv1.Outcome(i).String(), "OUTCOME_"))))
			}
			return nil
		}))
	_, forgotten := meter.Int64ObservableCounter("vote.voters.evicted",
		metric.WithDescription("States of voters dropped from Redis, of candidates that are no longer hot and of periods that are over."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(e.forgotten.Load())
			return nil
		}))
	return errors.Join(queued, durable, decided, forgotten)
}

// note counts the outcomes of a call.
func (e *Engine) note(verdicts []*votev1.Verdict) {
	var by [len(e.answered)]int64
	for _, v := range verdicts {
		by[v.GetOutcome()]++
	}
	for i, n := range by {
		if n > 0 {
			e.answered[i].Add(n)
		}
	}
}

// ways are the ways in which a batch becomes durable.
var ways = [...]string{"log", "fallback", "postgres"}

const (
	byLog = iota
	byFallback
	byPostgres
)
