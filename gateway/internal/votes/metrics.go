package votes

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Metrics counts what is not seen from outside.
type Metrics struct{ retries metric.Int64Counter }

// NewMetrics makes the instruments.
func NewMetrics(meter metric.Meter) (*Metrics, error) {
	retries, err := meter.Int64Counter("littlevote.gateway.vote.retries", metric.WithUnit("{retry}"),
		metric.WithDescription("Votes that were tried again inside, or could not be since the budget was spent."))
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return &Metrics{retries: retries}, nil
}

func (m *Metrics) retry(ctx context.Context, allowed bool) {
	m.retries.Add(ctx, 1, metric.WithAttributes(attribute.Bool("allowed", allowed)))
}
