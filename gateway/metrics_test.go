package gateway

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/littlevote/littlevote/gateway/internal/httpapi"
	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/testenv"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// measured is a gateway whose metrics can be read.
func measured(t *testing.T, cfg Config) (*running, *prometheus.Registry) {
	t.Helper()
	meter, registry, err := service.NewMeter("gateway")
	if err != nil {
		t.Fatal(err)
	}
	host := testHost(t)
	host.Meter = meter
	return startOn(t, cfg, host), registry
}

func TestMetrics(t *testing.T) {
	gateway, registry := measured(t, newServices(t).config(t))
	gateway.ask(`{ __typename }`, nil)
	gateway.ask(`query NamedByAStranger { a: __typename b: __typename }`, nil)
	gateway.voteOnce("")
	gateway.send(http.MethodPut, gateway.url, "")
	const ok = "http_response_status_code=200 http_route=/graphql"
	want := map[string]uint64{
		"graphql_field=__typename graphql_operation_type=query " + ok:                                                 1,
		"graphql_field=several graphql_operation_type=query " + ok:                                                    1,
		"graphql_field=ticketAndVote graphql_operation_type=mutation " + ok:                                           1,
		"error_type=405 graphql_field= graphql_operation_type=none http_response_status_code=405 http_route=/graphql": 1,
	}
	awaitCounts(t, registry, "http_server_request_duration_seconds", want)
	if queues := gathered(t, registry, "littlevote_gateway_queue_length"); len(queues) != 5 {
		t.Errorf("%v", queues)
	}
}

// Whoever comes by REST, in a dialect or on a stream is measured by operation as well.
func TestEveryDoorIsMeasured(t *testing.T) {
	behind := newServices(t)
	gateway, registry := measured(t, behind.blogConfig(t, newBlog()))
	cookie := []string{"Cookie", "littlevote_session=" + aSession}
	gateway.rest("POST", "/api/thumb/do", `{"blogId":`+aPost+`}`, cookie...)
	gateway.rest("POST", "/api/thumb/do", `{"blogId":`+aPost+`}`, cookie...)
	gateway.rest("GET", "/api/user/get/login", "", "Cookie", "littlevote_session=over")
	gateway.send(http.MethodPost, "http://"+gateway.Addr()+"/tiny/graphql", `{"query":"{ __typename }"}`, "Content-Type", "application/json")
	const rest = "http_request_method=POST http_response_status_code=200 http_route=/api/thumb/do"
	awaitCounts(t, registry, "http_server_request_duration_seconds", map[string]uint64{
		rest:                               1,
		"error_type=ALREADY_LIKED " + rest: 1,
		"error_type=401 http_request_method=GET http_response_status_code=401 http_route=/api/user/get/login":          1,
		"graphql_field=__typename graphql_operation_type=query http_response_status_code=200 http_route=/tiny/graphql": 1,
	})

	clients := &streaming{t: t, url: gateway.url}
	c := clients.open("")
	c.subscribe("1", "main")
	c.update("1")
	c.send(`{"id":"2","type":"subscribe","payload":{"query":"{ __typename }"}}`)
	c.failed("2")
	c.send(`{"id":"3","type":"subscribe","payload":{"query":"{"}}`)
	c.failed("3")
	clients.events(`subscription { tally ` + tallyFields + ` }`).update()
	const here = "http_route=/graphql"
	awaitCounts(t, registry, "littlevote_gateway_subscription_duration_seconds", map[string]uint64{
		"graphql_field=tally " + here:                         2,
		"error_type=graphql graphql_field=__typename " + here: 1,
		"error_type=graphql graphql_field= " + here:           1,
	})
}

// A subscription whose client leaves before its first answer is none that was served.
func TestSubscribersThatDoNotWaitAreMeasured(t *testing.T) {
	behind := newServices(t)
	asked := make(chan struct{}, 1)
	behind.tally = func(*queryv1.TallyRead) *queryv1.Tally {
		select {
		case asked <- struct{}{}:
		default:
		}
		return &queryv1.Tally{Code: statusv1.Code_CODE_UNAVAILABLE}
	}
	gateway, registry := measured(t, behind.config(t))
	c := (&streaming{t: t, url: gateway.url}).open("")
	c.subscribe("1", "main")
	<-asked
	c.send(`{"id":"1","type":"complete"}`)
	awaitCounts(t, registry, "littlevote_gateway_subscription_duration_seconds", map[string]uint64{
		"error_type=gone graphql_field=tally http_route=/graphql": 1,
	})
}

// awaitCounts waits until a histogram has counted this, and nothing else: a request is counted after its answer is sent.
func awaitCounts(t *testing.T, registry *prometheus.Registry, histogram string, want map[string]uint64) {
	t.Helper()
	testenv.Eventually(t, 20*time.Second, func() error {
		if diff := cmp.Diff(want, gathered(t, registry, histogram)); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
}

// gathered returns what a metric has counted by its labels.
func gathered(t *testing.T, registry *prometheus.Registry, name string) map[string]uint64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]uint64{}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, metric := range family.GetMetric() {
			var labels []string
			for _, label := range metric.GetLabel() {
				if label.GetName() != "kind" && !strings.HasPrefix(label.GetName(), "otel_scope") {
					labels = append(labels, label.GetName()+"="+label.GetValue())
				}
			}
			counts[strings.Join(labels, " ")] = metric.GetHistogram().GetSampleCount()
		}
	}
	return counts
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
