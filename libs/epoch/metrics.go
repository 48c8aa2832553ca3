package epoch

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Observe publishes which ledger this process works on.
func (p *Participant) Observe(meter metric.Meter) error {
	_, err := meter.Int64ObservableGauge("ledger.epoch",
		metric.WithDescription("The open epoch, by mode: redis, pg, or none with 0 while none is open or the lease is over."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			mode := "none"
			l, ok := p.Current()
			if ok {
				mode = string(l.Mode)
			}
			o.Observe(l.Epoch, metric.WithAttributes(attribute.String("mode", mode), attribute.Bool("redis_away", p.RedisAway())))
			return nil
		}))
	return err
}
