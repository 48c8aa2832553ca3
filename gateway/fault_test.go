package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/littlevote/littlevote/gateway/graph/exec"
	"github.com/littlevote/littlevote/gateway/graph/model"
	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/engine"
	"github.com/littlevote/littlevote/gateway/internal/httpapi"
	"github.com/littlevote/littlevote/gateway/internal/overload"
	"github.com/littlevote/littlevote/gateway/internal/resolver"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
)

// broken panics where it reads a count.
type broken struct{ *constant }

func (broken) One(context.Context, string, string, string) (*model.UserVote, error) { panic("secret") }

// A panic is the internal error of one field, wherever it happens, and the process lives.
func TestAPanicIsAnInternalError(t *testing.T) {
	settings := DefaultConfig().Gateway
	var logged strings.Builder
	log := slog.New(slog.NewTextHandler(&logged, nil))
	texts := answer.NewTexts()
	fakes := broken{newConstant()}
	schema := exec.New(resolver.New(resolver.Config{
		Tickets: fakes, Tallies: fakes, Voter: fakes, Keys: devKeys(t), Texts: texts, Now: time.Now,
	}))
	handler := httpapi.New(engine.New(schema, settings.engineConfig(answer.Chinese), texts, log), settings.httpConfig(), overload.NewDoor(), unobserved{}, log)
	for _, query := range []string{
		`{ getUserVotes(username: \"A\") { votes } }`,
		`{ getTicket { value } getUserVotes(username: \"A\") { votes } }`,
	} {
		request := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(`{"query":"`+query+`"}`))
		request.Header.Set("Content-Type", "application/json")
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, request)
		text := recorder.Body.String()
		if recorder.Code != http.StatusOK || !strings.Contains(text, "系统内部错误") || !strings.Contains(text, `"INTERNAL"`) || strings.Contains(text, "secret") {
			t.Errorf("%d %s", recorder.Code, text)
		}
	}
	if !strings.Contains(logged.String(), "secret") {
		t.Errorf("the log says nothing: %s", logged.String())
	}
}

func TestABrowserIsSentToThePlayground(t *testing.T) {
	cfg := newServices(t).config(t)
	const browser = "text/html,application/xhtml+xml,*/*;q=0.8"
	gateway := start(t, cfg)
	status, _, header := gateway.send(http.MethodGet, gateway.url, "", "Accept", browser)
	if status != http.StatusSeeOther || header.Get("Location") != "/playground" {
		t.Errorf("%d %q", status, header.Get("Location"))
	}
	if status, _, _ := gateway.send(http.MethodGet, gateway.url+"?query={__typename}", "", "Accept", browser); status != http.StatusOK {
		t.Errorf("a query in the address bar: %d", status)
	}
	for _, path := range []string{"/", "/playground", "/playground/page.js"} {
		if status, _, _ := gateway.send(http.MethodGet, "http://"+gateway.Addr()+path, ""); status != http.StatusOK {
			t.Errorf("%s: %d", path, status)
		}
	}
	cfg.Gateway.Playground = false
	gateway = start(t, cfg)
	if status, _, _ := gateway.send(http.MethodGet, gateway.url, "", "Accept", browser); status != http.StatusBadRequest {
		t.Errorf("without a playground: %d", status)
	}
	if status, _, _ := gateway.send(http.MethodGet, "http://"+gateway.Addr()+"/playground", ""); status != http.StatusNotFound {
		t.Errorf("the playground is off: %d", status)
	}
}

// What the validator lets through and a type does not take is the client's fault, not ours.
func TestALiteralOutOfRange(t *testing.T) {
	behind := newServices(t)
	gateway := behind.start(t)
	answer := gateway.ask(`mutation { vote(input: { usernames: "A", ticket: { value: "v", version: "1.2.3", remainingUsages: 3000000000,
		expiresAt: "2026-11-21T08:00:00Z", createdAt: "2026-11-21T08:00:00Z" } }) { code } }`, nil)
	if answer.code(t) != "BAD_USER_INPUT" || behind.voteCalls.Load() != 0 {
		t.Errorf("%+v", answer)
	}
}

func TestAFullQueueOfReadsRefusesAtOnce(t *testing.T) {
	behind := newServices(t)
	entered, release := make(chan struct{}, 10), make(chan struct{})
	behind.tallies = func(_ context.Context, request *queryv1.GetTalliesRequest) (*queryv1.GetTalliesResponse, error) {
		entered <- struct{}{}
		<-release
		response := &queryv1.GetTalliesResponse{}
		for _, read := range request.GetReads() {
			response.Tallies = append(response.Tallies, tallyOf(read))
		}
		return response, nil
	}
	cfg := behind.config(t)
	cfg.Gateway.Reads.InFlight, cfg.Gateway.Reads.Queue = 1, 1
	gateway := start(t, cfg)
	answers := make(chan answerJSON, 3)
	read := func() { answers <- gateway.ask(`{ getUserVotes(username: "A") { votes } }`, nil) }
	var wait sync.WaitGroup
	wait.Go(read)
	<-entered // one on its way; of two more, one waits and one is refused
	wait.Go(read)
	wait.Go(read)
	if got := <-answers; got.code(t) != "OVERLOADED" || got.Errors[0].Extensions["retryAfterMs"] == nil {
		t.Errorf("%+v", got)
	}
	close(release)
	wait.Wait()
	for range 2 {
		if got := <-answers; got.Errors != nil {
			t.Errorf("%+v", got)
		}
	}
}
