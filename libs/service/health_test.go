package service

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestReport(t *testing.T) {
	h := NewHealth()
	want := Report{Ready: true, Checks: map[string]string{}}
	diffReport(t, h, want)

	var broken atomic.Pointer[error]
	h.Check("redis", func(context.Context) error {
		if err := broken.Load(); err != nil {
			return *err
		}
		return nil
	})
	h.Check("kafka", func(context.Context) error { return nil })
	h.Weak("one broker: a lost disk loses votes")
	h.Weak("one broker: a lost disk loses votes") // said twice, listed once
	want = Report{Ready: true, Checks: map[string]string{"redis": "ok", "kafka": "ok"}, Weak: []string{"one broker: a lost disk loses votes"}}
	diffReport(t, h, want)

	refused := errors.New("connection refused")
	broken.Store(&refused)
	h.Weak("Redis without a replica") // Whatever changes Health also ends the age of the last report.
	want.Ready, want.Checks["redis"] = false, "connection refused"
	want.Weak = append(want.Weak, "Redis without a replica")
	diffReport(t, h, want)

	h.Drain()
	want.Draining = true
	diffReport(t, h, want)
}

// A check that has answered is not running any more, however soon it is asked again.
func TestACheckMayFollowAnotherAtOnce(t *testing.T) {
	c := &check{name: "redis", f: func(context.Context) error { return nil }, busy: make(chan struct{}, 1)}
	for range 20_000 {
		if got := c.run(t.Context()); got != resultOK {
			t.Fatal(got)
		}
	}
}

func diffReport(t *testing.T, h *Health, want Report) {
	t.Helper()
	if diff := cmp.Diff(want, h.Report(t.Context())); diff != "" {
		t.Error(diff)
	}
}

func TestReportIsGivenOutAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHealth()
		var runs atomic.Int32
		h.Check("slow", func(context.Context) error {
			runs.Add(1)
			time.Sleep(100 * time.Millisecond)
			return nil
		})
		for range 50 {
			go h.Report(t.Context())
		}
		time.Sleep(200 * time.Millisecond)
		if n := runs.Load(); n != 1 {
			t.Errorf("%d runs for 50 callers, want 1", n)
		}
		time.Sleep(reportAge)
		h.Report(t.Context())
		if n := runs.Load(); n != 2 {
			t.Errorf("%d runs after the age of a report, want 2", n)
		}
	})
}

func TestHangingCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHealth()
		release := make(chan struct{})
		h.Check("deaf", func(context.Context) error { <-release; return nil })
		begin := time.Now()
		if got := h.Report(t.Context()); got.Ready || got.Checks["deaf"] != "no answer within 1s" {
			t.Errorf("report = %+v", got)
		}
		if took := time.Since(begin); took != checkTimeout {
			t.Errorf("the report took %v", took)
		}
		time.Sleep(reportAge)
		if got := h.Report(t.Context()); got.Ready || got.Checks["deaf"] != "the last check is still running" {
			t.Errorf("report = %+v", got)
		}
		close(release)
		time.Sleep(reportAge)
		if got := h.Report(t.Context()); !got.Ready {
			t.Errorf("report = %+v, want ready", got)
		}
	})
}

func TestReportEndsWithItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHealth()
		h.Check("slow", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		first, cancelFirst := context.WithCancel(t.Context())
		go h.Report(first)
		synctest.Wait()
		second, cancelSecond := context.WithCancel(t.Context())
		cancelSecond()
		if got := h.Report(second); got.Ready {
			t.Errorf("report = %+v for a caller that has gone", got)
		}
		// The first caller goes too, but its check is everybody's: it ends by its own limit.
		cancelFirst()
		if got := h.Report(t.Context()); got.Checks["slow"] != "no answer within 1s" {
			t.Errorf("report = %+v", got)
		}
	})
}

func TestProbes(t *testing.T) {
	h := NewHealth()
	tests := []struct {
		name, path string
		code       int
		body       map[string]any
	}{
		{"ready", "/readyz", 200, map[string]any{"ready": true, "checks": map[string]any{}}},
		{"alive", "/livez", 200, map[string]any{"status": "ok"}},
		{"alive, another name", "/healthz", 200, map[string]any{"status": "ok"}},
		{"alive, a third name", "/health", 200, map[string]any{"status": "ok"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { wantProbe(t, h.Probes(), test.path, test.code, test.body) })
	}
	h.Check("redis", func(context.Context) error { return errors.New("dial 10.0.0.1:6379: refused") })
	h.Weak("one broker")
	wantProbe(t, h.Probes(), "/readyz", 503, map[string]any{
		"ready": false, "checks": map[string]any{"redis": "failing"}, "weak": []any{"one broker"},
	})
	wantProbe(t, h.Probes(), "/livez", 200, map[string]any{"status": "ok"})
}

func wantProbe(t *testing.T, handler http.Handler, path string, code int, body map[string]any) {
	t.Helper()
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	if w.Code != code {
		t.Errorf("%s: code = %d, want %d", path, w.Code, code)
	}
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(body, got); diff != "" {
		t.Error(diff)
	}
}
