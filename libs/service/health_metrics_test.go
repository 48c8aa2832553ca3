package service

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"go.opentelemetry.io/otel/trace"

	"github.com/littlevote/littlevote/libs/config"
)

// What /readyz says is in the metrics too, as it is now.
func TestHealthIsMeasured(t *testing.T) {
	url, health, meter := startAdmin(t)
	if err := health.Observe(meter); err != nil {
		t.Fatal(err)
	}
	wantMetrics(t, url, "littlevote_ready 1", "littlevote_degraded 0", "littlevote_promises_weak 0")
	var late atomic.Bool
	health.Check("redis", func(context.Context) error { return errors.New("away") })
	health.Degraded(func() string { return "votes are decided in Postgres" })
	health.Degraded(func() string {
		if late.Load() {
			return "late"
		}
		return ""
	})
	health.Weak("one broker")
	wantMetrics(t, url, "littlevote_ready 0", "littlevote_degraded 1", "littlevote_promises_weak 1")
	late.Store(true)
	health.Drain() // and ends the age of the last report
	wantMetrics(t, url, "littlevote_ready 0", "littlevote_degraded 2")
}

func wantMetrics(t *testing.T, url string, lines ...string) {
	t.Helper()
	_, body := get(t, url+"/metrics")
	for _, line := range lines {
		if !strings.Contains(body, "\n"+line+"\n") {
			t.Errorf("metrics lack %q", line)
		}
	}
}

// A trace that is kept can be found from the latencies: who scrapes in the format that can say so gets its id.
func TestExemplars(t *testing.T) {
	url, _, meter := startAdmin(t)
	took, err := meter.Float64Histogram("littlevote.test.duration")
	if err != nil {
		t.Fatal(err)
	}
	took.Record(t.Context(), 1)
	sampled := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled,
	}))
	took.Record(sampled, 7)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	body := string(text)
	if !strings.Contains(body, `trace_id="01000000000000000000000000000000"`) || strings.Count(body, "trace_id=") != 1 {
		t.Errorf("no exemplar of the sampled value, or others:\n%s", body)
	}
}

// Profiles and metrics are on the admin port alone.
func TestRPCPortKeepsWhatIsForOperators(t *testing.T) {
	server := start(t, fake{}, config.TLS{})
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/profile", "/debug/pprof/trace", "/debug/pprof/cmdline", "/metrics"} {
		if code, _ := get(t, "http://"+server.Addr()+path); code != http.StatusNotFound {
			t.Errorf("%s: %d", path, code)
		}
	}
}
