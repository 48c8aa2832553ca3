package service

import (
	"context"

	"go.opentelemetry.io/otel/metric"
)

// Observe publishes what /readyz says, so that it can be watched over time: in numbers, since the texts are for people.
func (h *Health) Observe(meter metric.Meter) error {
	ready, err := meter.Int64ObservableGauge("littlevote.ready", metric.WithDescription("1 while this process is ready, else 0."))
	if err != nil {
		return err
	}
	degraded, err := meter.Int64ObservableGauge("littlevote.degraded", metric.WithDescription("How much does not go as usual now; /readyz says what."))
	if err != nil {
		return err
	}
	weak, err := meter.Int64ObservableGauge("littlevote.promises.weak", metric.WithDescription("Promises that this set-up can't keep; /readyz names them."))
	if err != nil {
		return err
	}
	_, err = meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		report := h.Report(ctx)
		is := int64(0)
		if report.Ready {
			is = 1
		}
		o.ObserveInt64(ready, is)
		o.ObserveInt64(degraded, int64(len(report.Degraded)))
		o.ObserveInt64(weak, int64(len(report.Weak)))
		return nil
	}, ready, degraded, weak)
	return err
}
