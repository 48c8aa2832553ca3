package persist

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/littlevote/littlevote/libs/pgledger"
)

// metrics are what an operator sees of a persister.
type metrics struct {
	records  metric.Int64Counter
	rows     metric.Int64Counter
	duration metric.Float64Histogram
	behind   atomic.Int64 // records that were appended and not applied, at the last look
}

func newMetrics(meter metric.Meter, status *status) (*metrics, error) {
	m := &metrics{}
	var errs [5]error
	m.records, errs[0] = meter.Int64Counter("persister.records",
		metric.WithDescription("Records that were passed, by what became of them."))
	m.rows, errs[1] = meter.Int64Counter("persister.rows",
		metric.WithDescription("Rows inserted into the ledger."))
	m.duration, errs[2] = meter.Float64Histogram("persister.transaction.duration", metric.WithUnit("s"),
		metric.WithDescription("Duration of the transactions that were committed."),
		metric.WithExplicitBucketBoundaries(.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10))
	_, errs[3] = meter.Int64ObservableGauge("persister.records.behind",
		metric.WithDescription("Records in this process's partitions that were not applied at the last look."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(m.behind.Load())
			return nil
		}))
	_, errs[4] = meter.Int64ObservableGauge("persister.partitions.halted",
		metric.WithDescription("Partitions of this process that wait for a person."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(status.haltedCount())
			return nil
		}))
	return m, errors.Join(errs[:]...)
}

func (m *metrics) transaction(ctx context.Context, result pgledger.Result, dead int, took time.Duration) {
	counts := map[string]int64{"dead_letter": int64(dead)}
	for _, v := range result.Verdicts {
		counts[verdictName(v)]++
	}
	for verdict, n := range counts {
		m.records.Add(ctx, n, metric.WithAttributes(attribute.String("verdict", verdict)))
	}
	m.rows.Add(ctx, int64(result.Rows))
	m.duration.Record(ctx, took.Seconds())
}

func verdictName(v pgledger.Verdict) string {
	switch v {
	case pgledger.Applied:
		return "applied"
	case pgledger.Duplicate:
		return "duplicate"
	case pgledger.EpochOver:
		return "epoch_over"
	case pgledger.Certified:
		return "certified"
	default:
		return "unknown"
	}
}
