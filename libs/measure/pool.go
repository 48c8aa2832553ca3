package measure

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Connections is the state of a pool of connections.
type Connections struct{ Idle, Used, Max int64 }

// Pool shows the connections of a pool. Its name is its own among the pools of a process.
func Pool(meter metric.Meter, name string, look func() Connections) error {
	count, err := meter.Int64ObservableUpDownCounter("db.client.connection.count", metric.WithUnit("{connection}"),
		metric.WithDescription("Connections to a store, by pool and by whether they are in use."))
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	limit, err := meter.Int64ObservableUpDownCounter("db.client.connection.max", metric.WithUnit("{connection}"),
		metric.WithDescription("Connections that a pool may have."))
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	pool := attribute.String("db.client.connection.pool.name", name)
	state := attribute.Key("db.client.connection.state")
	idle, used := metric.WithAttributes(pool, state.String("idle")), metric.WithAttributes(pool, state.String("used"))
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		now := look()
		o.ObserveInt64(count, now.Idle, idle)
		o.ObserveInt64(count, now.Used, used)
		o.ObserveInt64(limit, now.Max, metric.WithAttributes(pool))
		return nil
	}, count, limit)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}
