package reading

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
)

// Metrics tells where counts come from, how old they may be, and what waits.
type Metrics struct {
	reads   metric.Int64Counter
	refused metric.Int64Counter
	cold    metric.Int64Counter
	wait    metric.Float64Histogram
	queue   metric.Int64ObservableGauge
	meter   metric.Meter
}

// NewMetrics makes the instruments.
func NewMetrics(meter metric.Meter) (*Metrics, error) {
	m := &Metrics{meter: meter}
	var err error
	if m.reads, err = meter.Int64Counter("littlevote.query.reads",
		metric.WithUnit("{read}"), metric.WithDescription("Reads that were answered, by the store the counts came from and whether they may be stale.")); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	if m.refused, err = meter.Int64Counter("littlevote.query.refusals",
		metric.WithUnit("{read}"), metric.WithDescription("Reads that were not answered, by reason.")); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	if m.cold, err = meter.Int64Counter("littlevote.query.voted.cold",
		metric.WithUnit("{candidate}"), metric.WithDescription("Candidates of a voter that Redis did not know, so that Postgres was asked.")); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	if m.wait, err = meter.Float64Histogram("littlevote.query.token.wait",
		metric.WithUnit("s"), metric.WithDescription("Time that a read with a consistency token took, by whether a store had seen its vote in time."),
		metric.WithExplicitBucketBoundaries(.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5)); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	if m.queue, err = meter.Int64ObservableGauge("littlevote.query.queue.length",
		metric.WithUnit("{read}"), metric.WithDescription("Reads that wait for a fetch.")); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return m, nil
}

// watch shows how many reads wait.
func (m *Metrics) watch(waiting func() int) error {
	_, err := m.meter.RegisterCallback(func(_ context.Context, observer metric.Observer) error {
		observer.ObserveInt64(m.queue, int64(waiting()))
		return nil
	}, m.queue)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}

func (m *Metrics) answered(ctx context.Context, from queryv1.Source, stale bool) {
	m.reads.Add(ctx, 1, metric.WithAttributes(attribute.String("source", sourceName(from)), attribute.Bool("stale", stale)))
}

func sourceName(from queryv1.Source) string {
	switch from {
	case queryv1.Source_SOURCE_REDIS:
		return "redis"
	case queryv1.Source_SOURCE_POSTGRES_REPLICA:
		return "replica"
	case queryv1.Source_SOURCE_POSTGRES_PRIMARY:
		return "primary"
	default:
		return "none"
	}
}

// The reasons of a refusal.
const (
	reasonFull     = "queue full"
	reasonStores   = "no store answers"
	reasonBehind   = "Postgres is behind"
	reasonToken    = "token not reached"
	reasonStopping = "stopping"
	reasonRights   = "rights not known"
)

func (m *Metrics) refuse(ctx context.Context, reason string) {
	m.refused.Add(ctx, 1, metric.WithAttributes(attribute.String("reason", reason)))
}

func (m *Metrics) waited(ctx context.Context, began time.Time, reached bool) {
	m.wait.Record(ctx, time.Since(began).Seconds(), metric.WithAttributes(attribute.Bool("reached", reached)))
}
