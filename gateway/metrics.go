package gateway

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/littlevote/littlevote/gateway/internal/overload"
)

// requestMetrics measures requests by what they were and the HTTP status they got: closed sets both.
type requestMetrics struct {
	duration metric.Float64Histogram
	known    map[requestKind]metric.MeasurementOption // the common ones, made once
}

type requestKind struct {
	kind   string
	status int
}

func newRequestMetrics(meter metric.Meter) (*requestMetrics, error) {
	duration, err := meter.Float64Histogram("littlevote.gateway.request.duration",
		metric.WithUnit("s"), metric.WithDescription("Time from the request's headers to its answer."),
		metric.WithExplicitBucketBoundaries(.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10))
	if err != nil {
		return nil, err
	}
	m := &requestMetrics{duration: duration, known: make(map[requestKind]metric.MeasurementOption)}
	for _, kind := range []string{"none", "query", "mutation"} {
		for _, status := range []int{200, 400} {
			m.known[requestKind{kind, status}] = m.attributes(requestKind{kind, status})
		}
	}
	return m, nil
}

func (m *requestMetrics) attributes(of requestKind) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(attribute.String("kind", of.kind), attribute.Int("status", of.status)))
}

// Request is part of httpapi.Observer.
func (m *requestMetrics) Request(ctx context.Context, kind string, status int, took time.Duration) {
	of := requestKind{kind, status}
	attributes, known := m.known[of]
	if !known {
		attributes = m.attributes(of)
	}
	m.duration.Record(ctx, took.Seconds(), attributes)
}

// shedding observes one queue: it counts what is refused there, and tells the door.
type shedding struct {
	*overload.Door
	refused metric.Int64Counter
	queue   metric.MeasurementOption
}

// newShedding returns what observes each of the queues.
func newShedding(meter metric.Meter, door *overload.Door, queues ...string) (map[string]*shedding, error) {
	refused, err := meter.Int64Counter("littlevote.gateway.overloaded",
		metric.WithUnit("{item}"), metric.WithDescription("Votes and reads that were refused as OVERLOADED; requests that were turned away unread are those of status 429."))
	if err != nil {
		return nil, err
	}
	observers := make(map[string]*shedding, len(queues))
	for _, queue := range queues {
		observers[queue] = &shedding{Door: door, refused: refused, queue: metric.WithAttributes(attribute.String("queue", queue))}
	}
	return observers, nil
}

// Refused is part of overload.Observer.
func (s *shedding) Refused() {
	s.Door.Refused()
	s.refused.Add(context.Background(), 1, s.queue)
}

// watchQueues shows how many votes and reads wait.
func watchQueues(meter metric.Meter, queues map[string]func() int) error {
	waiting, err := meter.Int64ObservableGauge("littlevote.gateway.queue.length",
		metric.WithUnit("{item}"), metric.WithDescription("Votes or reads that wait to be sent."))
	if err != nil {
		return err
	}
	_, err = meter.RegisterCallback(func(_ context.Context, observer metric.Observer) error {
		for name, length := range queues {
			observer.ObserveInt64(waiting, int64(length()), metric.WithAttributes(attribute.String("queue", name)))
		}
		return nil
	}, waiting)
	return err
}
