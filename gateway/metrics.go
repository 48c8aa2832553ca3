package gateway

import (
	"context"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/littlevote/littlevote/gateway/internal/conns"
	"github.com/littlevote/littlevote/gateway/internal/httpapi"
	"github.com/littlevote/littlevote/gateway/internal/overload"
	"github.com/littlevote/littlevote/libs/measure"
)

// requestMetrics measures requests by what they asked for and what came of it: closed sets all.
type requestMetrics struct {
	duration metric.Float64Histogram
	known    atomic.Pointer[map[httpapi.Asked]metric.MeasurementOption] // replaced by a larger one when something is new; so no request makes its labels anew
	growing  sync.Mutex
}

func newRequestMetrics(meter metric.Meter) (*requestMetrics, error) {
	duration, err := meter.Float64Histogram("http.server.request.duration",
		metric.WithUnit("s"), metric.WithDescription("Time from a GraphQL request's headers to its answer, by the field of the schema that it asks for."), measure.Seconds())
	if err != nil {
		return nil, err
	}
	m := &requestMetrics{duration: duration}
	m.known.Store(&map[httpapi.Asked]metric.MeasurementOption{})
	return m, nil
}

// Request is part of httpapi.Observer.
func (m *requestMetrics) Request(ctx context.Context, what httpapi.Asked, took time.Duration) {
	labels, known := (*m.known.Load())[what]
	if !known {
		labels = m.learn(what)
	}
	m.duration.Record(ctx, took.Seconds(), labels)
}

// learn makes the labels of what was not asked before.
func (m *requestMetrics) learn(what httpapi.Asked) metric.MeasurementOption {
	m.growing.Lock()
	defer m.growing.Unlock()
	known := maps.Clone(*m.known.Load())
	known[what] = labelsOf(what)
	m.known.Store(&known)
	return known[what]
}

func labelsOf(what httpapi.Asked) metric.MeasurementOption {
	labels := []attribute.KeyValue{
		attribute.String("graphql.operation.type", what.Kind), attribute.String("graphql.field", what.Field),
		attribute.Int("http.response.status_code", what.Status),
	}
	switch {
	case what.Status >= http.StatusBadRequest:
		labels = append(labels, attribute.String("error.type", strconv.Itoa(what.Status)))
	case what.Errors:
		labels = append(labels, attribute.String("error.type", "graphql"))
	}
	return metric.WithAttributeSet(attribute.NewSet(labels...))
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
		s := &shedding{Door: door, refused: refused, queue: metric.WithAttributes(attribute.String("queue", queue))}
		refused.Add(context.Background(), 0, s.queue) // so that the first one is seen as a change
		observers[queue] = s
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

// watchConnections shows how many clients are connected, and how many were not let in.
func watchConnections(meter metric.Meter, bound *conns.Bound) error {
	open, err := meter.Int64ObservableGauge("littlevote.gateway.connections",
		metric.WithUnit("{connection}"), metric.WithDescription("Connections of clients that are open."))
	if err != nil {
		return err
	}
	refused, err := meter.Int64ObservableCounter("littlevote.gateway.connections.refused",
		metric.WithUnit("{connection}"), metric.WithDescription("Connections that were closed at once: there were too many, in all or of one address."))
	if err != nil {
		return err
	}
	_, err = meter.RegisterCallback(func(_ context.Context, observer metric.Observer) error {
		observer.ObserveInt64(open, int64(bound.Open()))
		observer.ObserveInt64(refused, bound.Refused())
		return nil
	}, open, refused)
	return err
}
