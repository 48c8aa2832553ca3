package reconcile

import (
	"context"
	"errors"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// metrics are what an operator sees of a reconciler.
type metrics struct {
	rounds      metric.Int64Counter
	drift       metric.Int64Counter
	selfDiffers atomic.Int64
}

func newMetrics(meter metric.Meter) (*metrics, error) {
	m := &metrics{}
	var errs [3]error
	m.rounds, errs[0] = meter.Int64Counter("reconcile.rounds",
		metric.WithDescription("Rounds of this process, by result: verified, differs, skipped while epochs changed, failed."))
	m.drift, errs[1] = meter.Int64Counter("reconcile.drift",
		metric.WithDescription("Counts in Redis that were not what the ledger says."))
	_, errs[2] = meter.Int64ObservableGauge("reconcile.postgres.differs",
		metric.WithDescription("Counts in Postgres that are not the sum of its ledger, at the last look of this process."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(m.selfDiffers.Load())
			return nil
		}))
	return m, errors.Join(errs[:]...)
}

func (m *metrics) round(ctx context.Context, result string) {
	m.rounds.Add(ctx, 1, metric.WithAttributes(attribute.String("result", result)))
}
