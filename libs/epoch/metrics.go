package epoch

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// modeNone stands where no ledger is open, or the lease is over.
const modeNone Mode = "none"

// Observe publishes which ledger this process works on. Services that share a process do so each.
func (p *Participant) Observe(meter metric.Meter) error {
	number, err1 := meter.Int64ObservableGauge("littlevote.ledger.epoch",
		metric.WithDescription("Number of the open epoch; 0 while none is open or the lease is over."))
	mode, err2 := meter.Int64ObservableGauge("littlevote.ledger.mode",
		metric.WithDescription("1 for the store that votes are decided in: redis, or pg while Redis is away or held; none while votes are refused. 0 for the others."))
	away, err3 := meter.Int64ObservableGauge("littlevote.ledger.redis.away",
		metric.WithDescription("1 while Redis does not answer this process, or is a replica, or evicts keys; else 0."))
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	kind := attribute.String("kind", p.cfg.Service)
	// Not a callback of each instrument: of those a meter keeps only the first of a name.
	_, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		l, open := p.Current()
		now := modeNone
		if open {
			now = l.Mode
		}
		o.ObserveInt64(number, l.Epoch, metric.WithAttributes(kind))
		o.ObserveInt64(away, truth(p.RedisAway()), metric.WithAttributes(kind))
		for _, one := range []Mode{Redis, Postgres, modeNone} {
			o.ObserveInt64(mode, truth(one == now), metric.WithAttributes(kind, attribute.String("mode", string(one))))
		}
		return nil
	}, number, mode, away)
	return err
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
