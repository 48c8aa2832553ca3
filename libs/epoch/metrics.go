package epoch

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// modeNone stands where no ledger is open, or the lease is over.
const modeNone = "none"

// Observe publishes which ledger this process works on. Services that share a process do so each.
func (p *Participant) Observe(meter metric.Meter) error {
	service := attribute.String("service", p.cfg.Service)
	_, number := meter.Int64ObservableGauge("littlevote.ledger.epoch",
		metric.WithDescription("Number of the open epoch; 0 while none is open or the lease is over."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			l, _ := p.Current()
			o.Observe(l.Epoch, metric.WithAttributes(service))
			return nil
		}))
	_, mode := meter.Int64ObservableGauge("littlevote.ledger.mode",
		metric.WithDescription("1 for the store that votes are decided in: redis, or pg while Redis is away or held; none while votes are refused. 0 for the others."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			now := modeNone
			if l, ok := p.Current(); ok {
				now = string(l.Mode)
			}
			for _, one := range []string{string(Redis), string(Postgres), modeNone} {
				o.Observe(truth(one == now), metric.WithAttributes(service, attribute.String("mode", one)))
			}
			return nil
		}))
	_, away := meter.Int64ObservableGauge("littlevote.ledger.redis.away",
		metric.WithDescription("1 while Redis does not answer this process, else 0."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(truth(p.RedisAway()), metric.WithAttributes(service))
			return nil
		}))
	return errors.Join(number, mode, away)
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
