package votes

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/littlevote/littlevote/libs/measure"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// maxCodes bounds the codes of status.v1.
const maxCodes = 32

// Metrics counts what is not seen from outside.
type Metrics struct {
	retries metric.Int64Counter
	sizes   metric.Int64Histogram
	refused [maxCodes]atomic.Int64 // by status.v1.Code
}

// NewMetrics makes the instruments.
func NewMetrics(meter metric.Meter) (*Metrics, error) {
	m := &Metrics{}
	var errs [3]error
	m.retries, errs[0] = meter.Int64Counter("littlevote.gateway.vote.retries", metric.WithUnit("{retry}"),
		metric.WithDescription("Votes that were tried again inside, or could not be since the budget was spent."))
	m.sizes, errs[1] = meter.Int64Histogram("littlevote.gateway.batch.votes", metric.WithUnit("{vote}"),
		metric.WithDescription("Votes that were sent in one call."), measure.Sizes())
	_, errs[2] = meter.Int64ObservableCounter("littlevote.gateway.vote.refusals", metric.WithUnit("{vote}"),
		metric.WithDescription("Votes whose senders were told anything but success, by code: of a refusal without effect, or OUTCOME_UNKNOWN. Retries inside do not count."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			for code := range m.refused {
				if n := m.refused[code].Load(); n > 0 || code == int(statusv1.Code_CODE_OUTCOME_UNKNOWN) {
					o.Observe(n, metric.WithAttributes(attribute.String("code", strings.TrimPrefix(statusv1.Code(code).String(), "CODE_"))))
				}
			}
			return nil
		}))
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	for _, allowed := range []bool{true, false} { // so that the first one is seen as a change
		m.retries.Add(context.Background(), 0, metric.WithAttributes(attribute.Bool("allowed", allowed)))
	}
	return m, nil
}

func (m *Metrics) retry(ctx context.Context, allowed bool) {
	m.retries.Add(ctx, 1, metric.WithAttributes(attribute.Bool("allowed", allowed)))
}

// decided counts refusals: of successes the vote-service knows, and they are the common case.
func (m *Metrics) decided(code statusv1.Code) {
	if code != statusv1.Code_CODE_OK {
		m.refused[uint32(code)%maxCodes].Add(1)
	}
}
