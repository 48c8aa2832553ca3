package voting

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/measure"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// maxCodes bounds the codes of status.v1.
const maxCodes = 32

// answers are how many votes were answered, by status.v1.Code.
type answers [maxCodes]atomic.Int64

// metrics are what an operator sees of an engine. Nothing is recorded vote by vote: a call adds up its answers first.
type metrics struct {
	ballots measure.Ballots
	nowhere answers // of votes on ballots that there are not
	sizes   metric.Int64Histogram
	redis   metric.MeasurementOption
	pg      metric.MeasurementOption
}

// Observe publishes what an operator wants to see of the engine. It is called before Run, or never.
func (e *Engine) Observe(meter metric.Meter) error {
	ledger := attribute.Key("ledger")
	e.metrics.redis, e.metrics.pg = metric.WithAttributes(ledger.String("redis")), metric.WithAttributes(ledger.String("postgres"))
	var sized error
	e.metrics.sizes, sized = meter.Int64Histogram("littlevote.vote.batch.votes", metric.WithUnit("{vote}"),
		metric.WithDescription("Votes that were decided together, by the ledger that decided."), measure.Sizes())
	_, durable := meter.Int64ObservableCounter("littlevote.vote.batches", metric.WithUnit("{batch}"),
		metric.WithDescription("Batches made durable, by way: the log, fallback to Postgres in its place, or postgres while Redis is away."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			for i, name := range ways {
				o.Observe(e.durable[i].Load(), metric.WithAttributes(attribute.String("way", name)))
			}
			return nil
		}))
	_, forgotten := meter.Int64ObservableCounter("littlevote.vote.voters.evicted", metric.WithUnit("{voter}"),
		metric.WithDescription("States of voters dropped from Redis, of candidates that are no longer hot and of periods that are over."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(e.forgotten.Load())
			return nil
		}))
	return errors.Join(sized, durable, forgotten, e.observeAnswers(meter), e.observeQueues(meter))
}

func (e *Engine) observeAnswers(meter metric.Meter) error {
	_, err := meter.Int64ObservableCounter("littlevote.vote.answers", metric.WithUnit("{vote}"),
		metric.WithDescription("Votes answered, by ballot and code: OK counts, OUTCOME_UNKNOWN may, every other code is a refusal without effect."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			sums := map[string]*[maxCodes]int64{"none": {}}
			e.metrics.nowhere.addTo(sums["none"])
			for _, b := range e.ballots.all() {
				label := e.metrics.ballots.Of(b.name)
				if sums[label] == nil {
					sums[label] = &[maxCodes]int64{}
				}
				b.answered.addTo(sums[label])
			}
			for ballot, counts := range sums {
				for code, n := range counts {
					if n > 0 || code == int(statusv1.Code_CODE_OK) {
						o.Observe(n, metric.WithAttributes(attribute.String("ballot", ballot), attribute.String("code", codeName(code))))
					}
				}
			}
			return nil
		}))
	return err
}

func (a *answers) addTo(sums *[maxCodes]int64) {
	for code := range a {
		sums[code] += a[code].Load()
	}
}

func codeName(code int) string { return strings.TrimPrefix(statusv1.Code(code).String(), "CODE_") }

// observeQueues shows what waits: votes here, and batches in the outbox, which is the same for all instances.
func (e *Engine) observeQueues(meter metric.Meter) error {
	sum := func(of func(*ballot) float64) map[string]float64 {
		sums := map[string]float64{}
		for _, b := range e.ballots.all() {
			sums[e.metrics.ballots.Of(b.name)] += of(b)
		}
		return sums
	}
	_, queued := meter.Int64ObservableGauge("littlevote.vote.queue.length", metric.WithUnit("{vote}"),
		metric.WithDescription("Votes that wait for a batch, by ballot."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			for ballot, n := range sum(func(b *ballot) float64 { return float64(b.queue.Len() + b.retractions.Len()) }) {
				o.Observe(int64(n), metric.WithAttributes(attribute.String("ballot", ballot)))
			}
			return nil
		}))
	_, limit := meter.Int64ObservableGauge("littlevote.vote.queue.limit", metric.WithUnit("{vote}"),
		metric.WithDescription("Votes that may wait for a batch, on each ballot; more are refused as OVERLOADED."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(int64(e.cfg.Queue))
			return nil
		}))
	_, oldest := meter.Float64ObservableGauge("littlevote.vote.outbox.age", metric.WithUnit("s"),
		metric.WithDescription("How long the oldest batch of any ballot has stood in the outbox, at the last look; 0 if there is none."),
		metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error {
			age := int64(0)
			for _, b := range e.ballots.all() {
				age = max(age, b.oldest.Load())
			}
			o.Observe(time.Duration(age).Seconds())
			return nil
		}))
	return errors.Join(queued, limit, oldest)
}

// gathered measures a batch.
func (m *metrics) gathered(ctx context.Context, n *batch) {
	if m.sizes == nil {
		return
	}
	ledger := m.redis
	if n.ledger.Mode == epoch.Postgres {
		ledger = m.pg
	}
	m.sizes.Record(ctx, int64(len(n.jobs)), ledger)
}

// note counts the answers of a call, all of which have been given.
func (e *Engine) note(jobs []job) {
	var sums [maxCodes]int64
	for i := range jobs {
		sums[uint32(jobs[i].verdict.GetCode())%maxCodes]++
		if i+1 < len(jobs) && jobs[i+1].ballot == jobs[i].ballot {
			continue
		}
		to := &e.metrics.nowhere
		if b := jobs[i].ballot; b != nil {
			to = &b.answered
		}
		for code, n := range sums {
			if n > 0 {
				to[code].Add(n)
			}
		}
		sums = [maxCodes]int64{}
	}
}

// ways are the ways in which a batch becomes durable.
var ways = [...]string{"log", "fallback", "postgres"}

const (
	byLog = iota
	byFallback
	byPostgres
)
