package account

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/littlevote/littlevote/libs/service"
)

// metrics are the figures of accounts.
type metrics struct {
	calls metric.Int64Counter
	took  metric.Float64Histogram
}

func (m *metrics) init(meter metric.Meter, queued func() int64) error {
	var err error
	if m.calls, err = meter.Int64Counter("littlevote.blog.account.calls", metric.WithUnit("{call}"),
		metric.WithDescription("Registrations, logins and sessions, by what became of them: done, or the code of the refusal.")); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	if m.took, err = meter.Float64Histogram("littlevote.blog.hash.duration", metric.WithUnit("s"),
		metric.WithDescription("Time that hashing a password took, without the wait."),
		metric.WithExplicitBucketBoundaries(.01, .02, .05, .1, .2, .5, 1, 2)); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	length, err := meter.Int64ObservableGauge("littlevote.blog.hash.queue.length", metric.WithUnit("{password}"),
		metric.WithDescription("Passwords that wait or are being hashed."))
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveInt64(length, queued())
		return nil
	}, length)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}

func (m *metrics) count(ctx context.Context, call, outcome string) {
	m.calls.Add(ctx, 1, metric.WithAttributes(attribute.String("call", call), attribute.String("outcome", outcome)))
}

// refused counts a refusal by its code.
func (m *metrics) refused(ctx context.Context, call string, err error) {
	outcome := "canceled"
	if detail, ok := service.Detail(err); ok {
		outcome = strings.ToLower(strings.TrimPrefix(detail.GetCode().String(), "CODE_"))
	}
	m.count(ctx, call, outcome)
}

func (m *metrics) hashed(ctx context.Context, d time.Duration) { m.took.Record(ctx, d.Seconds()) }
