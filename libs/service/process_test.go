package service

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/littlevote/littlevote/libs/config"
)

// runnerFunc is a service made of its Run.
type runnerFunc func(ctx context.Context) error

func (f runnerFunc) Run(ctx context.Context) error { return f(ctx) }

func (f runnerFunc) Addr() string { return "127.0.0.1:1" }

// adminAddress reads from the log where the admin port is.
func adminAddress(t *testing.T, logs *logBuffer) string {
	t.Helper()
	var line struct{ Admin string }
	if err := json.Unmarshal([]byte(strings.SplitN(logs.String(), "\n", 2)[0]), &line); err != nil {
		t.Fatal(err)
	}
	return line.Admin
}

func TestProcessCanBeWatchedWhileItDrains(t *testing.T) {
	logs := &logBuffer{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	drained := errors.New("drained")
	err := Process(ctx, "test", Watched{Admin: config.Admin{Listen: "127.0.0.1:0"}}, slog.New(slog.NewJSONHandler(logs, nil)), func(host Host) (Runner, error) {
		return runnerFunc(func(ctx context.Context) error {
			url := "http://" + adminAddress(t, logs)
			if code, body := get(t, url+"/readyz"); code != http.StatusOK {
				t.Errorf("before the end: %d %s", code, body)
			}
			cancel()
			<-ctx.Done()
			for host.Health.Report(t.Context()).Ready {
				// Drain is on its way, in a goroutine of the context's end.
			}
			if code, body := get(t, url+"/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, `"draining":true`) {
				t.Errorf("while draining: %d %s", code, body)
			}
			return drained
		}), nil
	})
	if !errors.Is(err, drained) {
		t.Errorf("error = %v, want that of the service", err)
	}
	if conn, err := net.Dial("tcp", adminAddress(t, logs)); err == nil {
		_ = conn.Close()
		t.Error("the admin port outlives its process")
	}
}

func TestProcessThatCannotStart(t *testing.T) {
	log, broken := slog.New(slog.DiscardHandler), errors.New("broken")
	err := Process(t.Context(), "test", Watched{Admin: config.Admin{Listen: "127.0.0.1:0"}}, log, func(Host) (Runner, error) { return nil, broken })
	if !errors.Is(err, broken) {
		t.Errorf("error = %v, want that of the service", err)
	}
	released := false
	err = Process(t.Context(), "test", Watched{Admin: config.Admin{Listen: "127.0.0.1:no"}}, log, func(Host) (Runner, error) {
		return runnerFunc(func(ctx context.Context) error { released = ctx.Err() != nil; return nil }), nil
	})
	if err == nil || !released {
		t.Errorf("error = %v, released = %v; want an error and the service's end", err, released)
	}
}
