package gateway

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/littlevote/littlevote/gateway/internal/httpapi"
	"github.com/littlevote/littlevote/libs/service"
)

func TestMetrics(t *testing.T) {
	meter, registry, err := service.NewMeter("gateway")
	if err != nil {
		t.Fatal(err)
	}
	host := testHost(t)
	host.Meter = meter
	gateway := startOn(t, newServices(t).config(t), host)
	gateway.ask(`{ __typename }`, nil)
	gateway.ask(`query NamedByAStranger { a: __typename b: __typename }`, nil)
	gateway.voteOnce("")
	gateway.send(http.MethodPut, gateway.url, "")
	var requests map[string]uint64
	queues := 0
	// A request is counted after its answer is sent.
	await(t, "four requests are counted", func() bool {
		requests, queues = gathered(t, registry)
		return len(requests) == 4
	})
	if requests["query __typename 200 "] != 1 || requests["mutation ticketAndVote 200 "] != 1 || requests["none  405 405"] != 1 || requests["query several 200 "] != 1 || queues != 5 {
		t.Errorf("requests %v, %d queues", requests, queues)
	}
}

// gathered returns how many requests of each kind and status were counted, and how many queues are shown.
func gathered(t *testing.T, registry *prometheus.Registry) (map[string]uint64, int) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	requests, queues := map[string]uint64{}, 0
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			labels := map[string]string{}
			for _, label := range metric.GetLabel() {
				labels[label.GetName()] = label.GetValue()
			}
			switch family.GetName() {
			case "http_server_request_duration_seconds":
				requests[strings.Join([]string{
					labels["graphql_operation_type"], labels["graphql_field"], labels["http_response_status_code"], labels["error_type"],
				}, " ")] = metric.GetHistogram().GetSampleCount()
			case "littlevote_gateway_queue_length":
				queues++
			}
		}
	}
	return requests, queues
}

// Every vote is measured: that must cost no memory beyond what recording takes by itself.
func TestRequestsAreMeasuredWithoutGarbage(t *testing.T) {
	m, err := newRequestMetrics(noop.Meter{})
	if err != nil {
		t.Fatal(err)
	}
	what := httpapi.Asked{Kind: "mutation", Field: "ticketAndVote", Status: http.StatusOK}
	m.Request(t.Context(), what, time.Millisecond)
	if n := testing.AllocsPerRun(100, func() { m.Request(t.Context(), what, time.Millisecond) }); n > 1 {
		t.Errorf("%v allocations for each request", n)
	}
}
