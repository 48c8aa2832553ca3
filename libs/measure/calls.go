package measure

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// The systems that are called, as the semantic conventions name them.
const (
	Redis    = "redis"
	Postgres = "postgresql"
	Kafka    = "kafka"
)

// Seconds are the buckets of everything that a voter may wait for.
func Seconds() metric.HistogramOption {
	return metric.WithExplicitBucketBoundaries(.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10)
}

// Sizes are the buckets of what is gathered: batches of up to some thousand.
func Sizes() metric.HistogramOption {
	return metric.WithExplicitBucketBoundaries(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
}

// Calls measures the calls to one system. A nil one measures nothing.
type Calls struct {
	took      metric.Float64Histogram
	system    attribute.KeyValue
	operation attribute.Key
	known     sync.Map // kind to metric.MeasurementOption, so that no call makes its labels anew
}

// kind is what was called and what became of it.
type kind struct{ operation, failure string }

// NewCalls makes the instrument, which all systems of a sort share.
func NewCalls(meter metric.Meter, system string) (*Calls, error) {
	c := &Calls{system: attribute.String("db.system.name", system), operation: "db.operation.name"}
	name, text := "db.client.operation.duration", "Time of a call to Redis or Postgres, by what was called."
	if system == Kafka {
		c.system, c.operation = attribute.String("messaging.system", system), "messaging.operation.name"
		name, text = "messaging.client.operation.duration", "Time of a request to Kafka, by its kind."
	}
	var err error
	if c.took, err = meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(text), Seconds()); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return c, nil
}

// Record measures a call. Both names come from closed sets; failure is empty where there was none.
func (c *Calls) Record(ctx context.Context, operation, failure string, took time.Duration) {
	if c == nil {
		return
	}
	of := kind{operation, failure}
	labels, ok := c.known.Load(of)
	if !ok {
		labels, _ = c.known.LoadOrStore(of, c.labels(of))
	}
	c.took.Record(ctx, took.Seconds(), labels.(metric.MeasurementOption)) //nolint:forcetypeassert // Nothing else is stored there.
}

func (c *Calls) labels(of kind) metric.MeasurementOption {
	labels := []attribute.KeyValue{c.system, c.operation.String(of.operation)}
	if of.failure != "" {
		labels = append(labels, attribute.String("error.type", of.failure))
	}
	return metric.WithAttributeSet(attribute.NewSet(labels...))
}
