package persist

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/littlevote/littlevote/libs/measure"
	"github.com/littlevote/littlevote/libs/pgledger"
)

// metrics are what an operator sees of a persister.
type metrics struct {
	records  metric.Int64Counter
	rows     metric.Int64Counter
	retries  metric.Int64Counter
	duration metric.Float64Histogram
	size     metric.Int64Histogram
	behind   atomic.Int64 // records that were appended and not applied, at the last look
	lag      atomic.Int64 // nanoseconds since everything was applied, at the last look
	waiting  atomic.Int64 // partitions that wait for the dead-letter topic
}

func newMetrics(meter metric.Meter, status *status) (*metrics, error) {
	m := &metrics{}
	var errs [5]error
	m.records, errs[0] = meter.Int64Counter("littlevote.persister.records", metric.WithUnit("{record}"),
		metric.WithDescription("Records that were passed, by what became of them."))
	m.rows, errs[1] = meter.Int64Counter("littlevote.persister.rows", metric.WithUnit("{row}"),
		metric.WithDescription("Rows inserted into the ledger."))
	m.retries, errs[2] = meter.Int64Counter("littlevote.persister.retries", metric.WithUnit("{failure}"),
		metric.WithDescription("Failures after which something was tried again, by what it was."))
	m.duration, errs[3] = meter.Float64Histogram("littlevote.persister.transaction.duration", metric.WithUnit("s"),
		metric.WithDescription("Duration of the transactions that were committed."), measure.Seconds())
	m.size, errs[4] = meter.Int64Histogram("littlevote.persister.transaction.records", metric.WithUnit("{record}"),
		metric.WithDescription("Records that were passed in one transaction."), measure.Sizes())
	if err := errors.Join(append(errs[:], m.gauges(meter, status))...); err != nil {
		return nil, err
	}
	// So that the first of a kind is seen as a change.
	for _, verdict := range []string{"applied", "duplicate", "epoch_over", "certified", verdictDead} {
		m.records.Add(context.Background(), 0, metric.WithAttributes(attribute.String("verdict", verdict)))
	}
	return m, nil
}

// verdictDead is that of a record that went to the dead-letter topic.
const verdictDead = "dead_letter"

func (m *metrics) gauges(meter metric.Meter, status *status) error {
	var errs []error
	for _, g := range []struct {
		name, unit, text string
		read             func() int64
	}{
		{"littlevote.persister.records.behind", "{record}", "Records in this process's partitions that were not applied at the last look.", m.behind.Load},
		{"littlevote.persister.partitions.halted", "{partition}", "Partitions of this process that wait for a person.", status.haltedCount},
		{"littlevote.persister.partitions.waiting", "{partition}", "Partitions of this process that wait for the dead-letter topic.", m.waiting.Load},
	} {
		_, err := meter.Int64ObservableGauge(g.name, metric.WithUnit(g.unit), metric.WithDescription(g.text),
			metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
				o.Observe(g.read())
				return nil
			}))
		errs = append(errs, err)
	}
	_, err := meter.Float64ObservableGauge("littlevote.persister.lag", metric.WithUnit("s"),
		metric.WithDescription("How long ago everything in this process's partitions was applied, at the last look."),
		metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error {
			o.Observe(time.Duration(m.lag.Load()).Seconds())
			return nil
		}))
	return errors.Join(append(errs, err)...)
}

func (m *metrics) transaction(ctx context.Context, result pgledger.Result, dead int, took time.Duration) {
	counts := map[string]int64{verdictDead: int64(dead)}
	for _, v := range result.Verdicts {
		counts[verdictName(v)]++
	}
	for verdict, n := range counts {
		m.records.Add(ctx, n, metric.WithAttributes(attribute.String("verdict", verdict)))
	}
	m.rows.Add(ctx, int64(result.Rows))
	m.size.Record(ctx, int64(len(result.Verdicts)+dead))
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
