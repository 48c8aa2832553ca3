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

	"github.com/littlevote/littlevote/gateway/internal/httpapi"
	"github.com/littlevote/littlevote/gateway/internal/rest"
	"github.com/littlevote/littlevote/libs/measure"
)

// requestMetrics measures what clients ask for, at every door: by operation, and by what came of it. Both are closed sets.
type requestMetrics struct {
	graphql       *durations[httpapi.Asked]
	rest          *durations[rest.Asked]
	subscriptions *durations[httpapi.Begun]
}

func newRequestMetrics(meter metric.Meter) (*requestMetrics, error) {
	requests, err := meter.Float64Histogram("http.server.request.duration",
		metric.WithUnit("s"), metric.WithDescription("Time from a request's headers to its answer, by the field of a schema or the path of the REST API that it asks for."),
		measure.Seconds())
	if err != nil {
		return nil, err
	}
	subscriptions, err := meter.Float64Histogram("littlevote.gateway.subscription.duration",
		metric.WithUnit("s"), metric.WithDescription("Time from a subscription to its first answer, on WebSockets and event streams."), measure.Seconds())
	if err != nil {
		return nil, err
	}
	return &requestMetrics{
		graphql: newDurations(requests, labelsOfGraphQL), rest: newDurations(requests, labelsOfREST),
		subscriptions: newDurations(subscriptions, labelsOfSubscription),
	}, nil
}

// Request is part of httpapi.Observer.
func (m *requestMetrics) Request(ctx context.Context, what httpapi.Asked, took time.Duration) {
	m.graphql.record(ctx, what, took)
}

// Subscription is part of httpapi.Observer.
func (m *requestMetrics) Subscription(ctx context.Context, what httpapi.Begun, took time.Duration) {
	m.subscriptions.record(ctx, what, took)
}

// Operation is part of rest.Observer.
func (m *requestMetrics) Operation(ctx context.Context, what rest.Asked, took time.Duration) {
	m.rest.record(ctx, what, took)
}

func labelsOfGraphQL(what httpapi.Asked) []attribute.KeyValue {
	problem := ""
	if what.Errors {
		problem = "graphql"
	}
	return append(labelsOfHTTP(what.Route, what.Status, problem),
		attribute.String("graphql.operation.type", what.Kind), attribute.String("graphql.field", what.Field))
}

func labelsOfREST(what rest.Asked) []attribute.KeyValue {
	return append(labelsOfHTTP(what.Route, what.Status, what.Refusal), attribute.String("http.request.method", what.Method))
}

// labelsOfHTTP are those that every request has; a problem that the status tells of is that status.
func labelsOfHTTP(route string, status int, problem string) []attribute.KeyValue {
	if status >= http.StatusBadRequest {
		problem = strconv.Itoa(status)
	}
	return withProblem(problem, attribute.String("http.route", route), attribute.Int("http.response.status_code", status))
}

func labelsOfSubscription(what httpapi.Begun) []attribute.KeyValue {
	return withProblem(what.Problem, attribute.String("http.route", what.Route), attribute.String("graphql.field", what.Field))
}

func withProblem(problem string, labels ...attribute.KeyValue) []attribute.KeyValue {
	if problem != "" {
		labels = append(labels, attribute.String("error.type", problem))
	}
	return labels
}

// durations records how long things of one kind take.
type durations[K comparable] struct {
	histogram metric.Float64Histogram
	labels    func(K) []attribute.KeyValue
	known     atomic.Pointer[map[K]metric.MeasurementOption] // replaced by a larger one when something is new; so no request makes its labels anew
	growing   sync.Mutex
}

func newDurations[K comparable](histogram metric.Float64Histogram, labels func(K) []attribute.KeyValue) *durations[K] {
	d := &durations[K]{histogram: histogram, labels: labels}
	d.known.Store(&map[K]metric.MeasurementOption{})
	return d
}

func (d *durations[K]) record(ctx context.Context, what K, took time.Duration) {
	labels, known := (*d.known.Load())[what]
	if !known {
		labels = d.learn(what)
	}
	d.histogram.Record(ctx, took.Seconds(), labels)
}

// learn makes the labels of what was not asked before.
func (d *durations[K]) learn(what K) metric.MeasurementOption {
	d.growing.Lock()
	defer d.growing.Unlock()
	known := maps.Clone(*d.known.Load())
	known[what] = metric.WithAttributeSet(attribute.NewSet(d.labels(what)...))
	d.known.Store(&known)
	return known[what]
}
