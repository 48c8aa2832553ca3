package service

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

func startAdmin(t *testing.T) (url string, health *Health, meter metric.Meter) {
	t.Helper()
	meter, registry, err := NewMeter("test-service")
	if err != nil {
		t.Fatal(err)
	}
	health = NewHealth()
	admin, err := NewAdmin("127.0.0.1:0", health, registry)
	if err != nil {
		t.Fatal(err)
	}
	run(t, admin.Server)
	return "http://" + admin.Addr(), health, meter
}

func get(t *testing.T, url string) (code int, body string) {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func TestMetrics(t *testing.T) {
	url, _, meter := startAdmin(t)
	votes, err := meter.Int64Counter("littlevote.votes", metric.WithDescription("votes counted"))
	if err != nil {
		t.Fatal(err)
	}
	votes.Add(t.Context(), 3, metric.WithAttributes(attribute.String("code", "OK")))
	code, body := get(t, url+"/metrics")
	if code != http.StatusOK {
		t.Errorf("code = %d", code)
	}
	for _, want := range []string{
		`littlevote_votes_total{code="OK"} 3`, "# HELP littlevote_votes_total votes counted",
		`service_name="test-service",service_namespace="littlevote",service_version="` + Version() + `"} 1`, "go_goroutines", "process_open_fds",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("metrics lack %q:\n%s", want, body)
		}
	}
}

func TestAdminTellsReasons(t *testing.T) {
	url, health, _ := startAdmin(t)
	health.Check("redis", func(context.Context) error { return errors.New("connection refused") })
	code, body := get(t, url+"/readyz")
	var report Report
	if err := json.Unmarshal([]byte(body), &report); err != nil {
		t.Fatal(err)
	}
	if code != http.StatusServiceUnavailable || report.Checks["redis"] != "connection refused" || report.Version != Version() {
		t.Errorf("%d %+v", code, report)
	}
	// Strangers learn neither the reason nor the version.
	outside := httptest.NewRecorder()
	health.Probes().ServeHTTP(outside, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	if body := outside.Body.String(); strings.Contains(body, "refused") || strings.Contains(body, "version") {
		t.Errorf("outside: %s", body)
	}
	if code, _ := get(t, url+"/livez"); code != http.StatusOK {
		t.Errorf("/livez: %d", code)
	}
}

func TestProfiles(t *testing.T) {
	url, _, _ := startAdmin(t)
	for path, want := range map[string]int{
		"/debug/pprof/": 200, "/debug/pprof/goroutine?debug=1": 200, "/debug/pprof/heap": 200,
		"/debug/pprof/cmdline": 404, // It would show passwords that stand in flags.
	} {
		if code, _ := get(t, url+path); code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
}
