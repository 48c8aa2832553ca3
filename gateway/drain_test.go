package gateway

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/littlevote/littlevote/gateway/graph/exec"
	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/engine"
	"github.com/littlevote/littlevote/gateway/internal/httpapi"
	"github.com/littlevote/littlevote/gateway/internal/resolver"
)

// runUntil runs a gateway until stop is called, and returns how long it took to end then.
func runUntil(t *testing.T, cfg Config, change ...func(*http.Server)) (gateway *running, stop func() time.Duration) {
	t.Helper()
	made, err := New(t.Context(), cfg, testHost(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(made.server)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- made.Run(ctx) }()
	return &running{Service: made, t: t, url: "http://" + made.Addr() + made.Path()}, func() time.Duration {
		began := time.Now()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		return time.Since(began)
	}
}

// F21: clients that keep their connections see no error while their gateway stops: each is told to leave by the answer to
// a request of its own.
func TestClientsLeaveBeforeTheGatewayDoes(t *testing.T) {
	cfg := newServices(t).config(t)
	cfg.Gateway.DrainWait = 5 * time.Second
	gateway, stop := runUntil(t, cfg)
	var wait sync.WaitGroup
	var votes atomic.Int64
	for range 20 {
		transport := &http.Transport{}
		wait.Go(func() {
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport}
			for {
				const body = `{"query":"mutation { ticketAndVote(usernames: \"A\") { success } }"}`
				response, err := client.Post(gateway.url, legacyType, strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				text, err := io.ReadAll(response.Body)
				response.Body.Close()
				if err != nil || !strings.Contains(string(text), `"success":true`) {
					t.Errorf("%d %s %v", response.StatusCode, text, err)
					return
				}
				votes.Add(1)
				if response.Close {
					return
				}
			}
		})
	}
	await(t, "they vote", func() bool { return votes.Load() > 100 })
	took := stop()
	wait.Wait()
	if took > cfg.Gateway.DrainWait {
		t.Errorf("took %v although everybody had left", took)
	}
}

// A client that keeps its connection and sends nothing is not waited for.
func TestIdleConnectionsAreNotWaitedFor(t *testing.T) {
	cfg := newServices(t).config(t)
	cfg.Gateway.DrainWait = 100 * time.Millisecond
	gateway, stop := runUntil(t, cfg)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Post(gateway.url, legacyType, strings.NewReader(typename))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	response.Body.Close()
	if took := stop(); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

// shut is a door that lets nobody in.
type shut struct{}

func (shut) Enter() bool { return false }

// unread fails where it is read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

// What is turned away at the door costs no reading, and is told when to come back.
func TestTurnedAwayAtTheDoor(t *testing.T) {
	settings := DefaultConfig().Gateway
	log := slog.New(slog.DiscardHandler)
	fakes := newConstant()
	texts := answer.NewTexts()
	schema := exec.New(resolver.New(resolver.Config{Tickets: fakes, Tallies: fakes, Voter: fakes, Keys: devKeys(t), Texts: texts, Now: time.Now}))
	execution := engine.New(schema, settings.engineConfig(answer.Chinese), texts, log)
	handler := httpapi.New(execution, settings.httpConfig(), shut{}, unobserved{}, log)
	request := httptest.NewRequest(http.MethodPost, "/graphql", unread{t})
	request.Header.Set("Content-Type", legacyType)
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	parsed := (&running{t: t}).parse(recorder.Body.String())
	want := map[string]any{"code": "OVERLOADED", "retryable": true, "retryAfterMs": 1000.0, "outcome": "NONE"}
	if diff := cmp.Diff(want, parsed.Errors[0].Extensions); diff != "" {
		t.Error(diff)
	}
	if recorder.Code != http.StatusTooManyRequests || recorder.Header().Get("Retry-After") != "1" {
		t.Errorf("%d %v", recorder.Code, recorder.Header())
	}
}
