package reconcile

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/littlevote/littlevote/libs/measure"
)

// metrics are what an operator sees of a reconciler. What it saw of the whole system is shown by the instance alone whose turn it is.
type metrics struct {
	ballots     measure.Ballots
	rounds      metric.Int64Counter
	drift       metric.Int64Counter
	selfDiffers atomic.Int64
	verified    atomic.Int64 // when the last round found everything right, in ns since 1970; 0: none of this process
	seen        atomic.Pointer[sight]
}

// sight is what was seen of the whole system. Nobody changes it: the next one takes its place.
type sight struct {
	votes     map[string]int64 // counted, by ballot
	outbox    map[string]int64 // batches, by ballot
	overspent map[string]int64 // uses beyond a cap, by ballot
	alive     map[string]int64 // processes, by kind
	lag       *time.Duration   // of the ledger behind the log; nil: not known
}

func newMetrics(meter metric.Meter) (*metrics, error) {
	m := &metrics{}
	var errs [5]error
	m.rounds, errs[0] = meter.Int64Counter("littlevote.reconcile.rounds", metric.WithUnit("{round}"),
		metric.WithDescription("Rounds of this process, by result: verified, differs, skipped while epochs changed, failed."))
	m.drift, errs[1] = meter.Int64Counter("littlevote.reconcile.drift", metric.WithUnit("{count}"),
		metric.WithDescription("Counts in Redis that were not what the ledger says."))
	_, errs[2] = meter.Int64ObservableGauge("littlevote.reconcile.postgres.differs", metric.WithUnit("{count}"),
		metric.WithDescription("Counts in Postgres that are not the sum of its ledger, at the last look of this process."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(m.selfDiffers.Load())
			return nil
		}))
	_, errs[3] = meter.Float64ObservableGauge("littlevote.reconcile.verified.timestamp", metric.WithUnit("s"),
		metric.WithDescription("When this process last found all counts right, in seconds since 1970."),
		metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error {
			if at := m.verified.Load(); at > 0 {
				o.Observe(time.Duration(at).Seconds())
			}
			return nil
		}))
	errs[4] = m.watch(meter)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	m.drift.Add(context.Background(), 0) // so that the first one is seen as a change
	return m, nil
}

// watch shows what was seen.
func (m *metrics) watch(meter metric.Meter) error {
	votes, err1 := meter.Int64ObservableGauge("littlevote.ballot.votes", metric.WithUnit("{vote}"),
		metric.WithDescription("What the counts of a ballot add up to, at the last look."))
	outbox, err2 := meter.Int64ObservableGauge("littlevote.vote.outbox.length", metric.WithUnit("{batch}"),
		metric.WithDescription("Batches of a ballot that are admitted and not settled, at the last look."))
	overspent, err3 := meter.Int64ObservableGauge("littlevote.ticket.overspent", metric.WithUnit("{use}"),
		metric.WithDescription("Uses of tickets beyond their caps in the ledger, by ballot. It must be 0."))
	alive, err4 := meter.Int64ObservableGauge("littlevote.participants", metric.WithUnit("{process}"),
		metric.WithDescription("Processes that hold a lease, by kind."))
	lag, err5 := meter.Float64ObservableGauge("littlevote.ledger.lag", metric.WithUnit("s"),
		metric.WithDescription("For how long some record of the log has not been applied to the ledger, or may not have been since no persister says so."))
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return err
	}
	_, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		seen := m.seen.Load()
		if seen == nil {
			return nil
		}
		m.observe(o, votes, seen.votes)
		m.observe(o, outbox, seen.outbox)
		m.observe(o, overspent, seen.overspent)
		if seen.lag != nil {
			o.ObserveFloat64(lag, seen.lag.Seconds())
		}
		for kind, n := range seen.alive {
			o.ObserveInt64(alive, n, metric.WithAttributes(attribute.String("kind", kind)))
		}
		return nil
	}, votes, outbox, overspent, alive, lag)
	return err
}

func (m *metrics) observe(o metric.Observer, gauge metric.Int64Observable, byBallot map[string]int64) {
	sums := map[string]int64{}
	for ballot, n := range byBallot {
		sums[m.ballots.Of(ballot)] += n
	}
	for label, n := range sums {
		o.ObserveInt64(gauge, n, metric.WithAttributes(attribute.String("ballot", label)))
	}
}

func (m *metrics) round(ctx context.Context, result string) {
	m.rounds.Add(ctx, 1, metric.WithAttributes(attribute.String("result", result)))
	if result == "verified" {
		m.verified.Store(time.Now().UnixNano())
	}
}
