package gateway

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/littlevote/littlevote/gateway/internal/conns"
	"github.com/littlevote/littlevote/gateway/internal/overload"
)

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
