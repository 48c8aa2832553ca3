package persister

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/grpchealth"
	"github.com/jackc/pgx/v5"
	"github.com/spf13/pflag"
	"go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/testenv"
)

func load(args []string, environ ...string) (Config, *config.Loader, error) {
	cfg := DefaultConfig()
	flags := pflag.NewFlagSet("persister", pflag.ContinueOnError)
	loader, err := config.Bind(flags, &cfg)
	if err != nil {
		return cfg, nil, err
	}
	if err := flags.Parse(args); err != nil {
		return cfg, nil, err
	}
	return cfg, loader, loader.Load(environ)
}

func TestSettings(t *testing.T) {
	t.Parallel()
	cfg, loader, err := load([]string{"--persister-batch-records=7", "--persister-migrate=false"}, "LITTLEVOTE_PERSISTER_BATCH_VOTES=2000")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Persister.Listen != "127.0.0.1:8104" || cfg.Admin.Listen != "127.0.0.1:9104" {
		t.Errorf("the ports are %s and %s, others rely on 8104 and 9104", cfg.Persister.Listen, cfg.Admin.Listen)
	}
	if cfg.Persister.BatchRecords != 7 || cfg.Persister.Migrate || cfg.Persister.BatchVotes != 2000 {
		t.Errorf("settings are %+v", cfg.Persister)
	}
	var out bytes.Buffer
	if err := loader.Print(&out); err != nil || !strings.Contains(out.String(), "batch-votes: 2000") {
		t.Errorf("printed %v\n%s", err, out.String())
	}
}

func TestBadSettingsAreNamed(t *testing.T) {
	t.Parallel()
	for arg, key := range map[string]string{
		"--persister-batch-records=0":        "persister.batch-records",
		"--persister-batch-votes=999":        "persister.batch-votes",
		"--persister-buffer-bytes=1":         "persister.buffer-bytes",
		"--persister-transaction-timeout=1h": "persister.transaction-timeout",
		"--persister-session-timeout=0s":     "persister.session-timeout",
		"--persister-group=":                 "persister.group",
		"--persister-listen=here":            "persister.listen",
		"--admin-listen=here":                "admin.listen",
	} {
		if _, _, err := load([]string{arg}); err == nil || !strings.Contains(err.Error(), key+":") {
			t.Errorf("%s: %v", arg, err)
		}
	}
}

func TestService(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.Persister.Listen = "127.0.0.1:0"
	cfg.Postgres.URL = testenv.Postgres(t)
	cfg.Kafka.Brokers, cfg.Kafka.TopicPrefix = testenv.Kafka(t), testenv.Topic(t)
	s, err := New(t.Context(), cfg, service.Host{Tracer: tracenoop.Tracer{}, Log: slog.New(slog.DiscardHandler), Health: service.NewHealth(), Meter: noop.Meter{}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()

	base := "http://" + s.Addr()
	testenv.Eventually(t, 30*time.Second, func() error { return get(base+"/readyz", http.StatusOK) })
	if err := get(base+"/livez", http.StatusOK); err != nil {
		t.Error(err)
	}
	if err := checkGRPC(t, base); err != nil {
		t.Error(err)
	}
	conn, err := pgx.Connect(t.Context(), cfg.Postgres.URL)
	if err != nil {
		t.Fatal(err)
	}
	var offsets, signedOn int
	if err := conn.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM offsets), (SELECT count(*) FROM persisters)").Scan(&offsets, &signedOn); err != nil {
		t.Fatal(err)
	}
	if offsets != 8 || signedOn != 1 {
		t.Errorf("%d offsets and %d persisters, want 8 and 1", offsets, signedOn)
	}

	begin := time.Now()
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("run: %v", err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("the stop took %v", took)
	}
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM persisters").Scan(&signedOn); err != nil || signedOn != 0 {
		t.Errorf("%d persisters are signed on after the stop, %v", signedOn, err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// Without its stores a persister is alive, not ready, and ends when it is told to.
func TestServiceWithoutStores(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.Persister.Listen = "127.0.0.1:0"
	cfg.Postgres.URL = "postgres://nobody@127.0.0.1:1/nothing"
	cfg.Kafka.Brokers = []string{"127.0.0.1:1"}
	s, err := New(t.Context(), cfg, service.Host{Tracer: tracenoop.Tracer{}, Log: slog.New(slog.DiscardHandler), Health: service.NewHealth(), Meter: noop.Meter{}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	testenv.Eventually(t, 30*time.Second, func() error { return get("http://"+s.Addr()+"/livez", http.StatusOK) })
	if err := get("http://"+s.Addr()+"/readyz", http.StatusServiceUnavailable); err != nil {
		t.Error(err)
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("run: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the stop takes more than 10 s")
	}
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	host := service.Host{Tracer: tracenoop.Tracer{}, Log: slog.New(slog.DiscardHandler), Health: service.NewHealth(), Meter: noop.Meter{}}
	cfg := DefaultConfig()
	cfg.Persister.Listen = "127.0.0.1:0"
	first, err := New(t.Context(), cfg, host)
	if err != nil {
		t.Fatal(err)
	}
	defer first.close()
	cfg.Persister.Listen = first.Addr()
	if _, err := New(t.Context(), cfg, host); err == nil {
		t.Error("two persisters listen on one port")
	}
}

func get(url string, want int) error {
	response, err := http.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != want {
		err = fmt.Errorf("%s answers %s, want %d: %s", url, response.Status, want, body)
	}
	return err
}

func checkGRPC(t *testing.T, base string) error {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		base+"/"+grpchealth.HealthV1ServiceName+"/Check", strings.NewReader("{}"))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && !strings.Contains(string(body), "SERVING") {
		err = fmt.Errorf("the health service answers %s: %s", response.Status, body)
	}
	return err
}
