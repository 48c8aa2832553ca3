package gateway

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/littlevote/littlevote/gateway/internal/httpapi"
	"github.com/littlevote/littlevote/libs/testenv"
)

const tallySubscription = "subscription { tally " + tallyFields + " }"

func TestSubscriptionAsAnEventStream(t *testing.T) {
	s := newStreaming(t)
	e := s.events(tallySubscription)
	header := e.response.Header
	if e.response.StatusCode != http.StatusOK || !strings.HasPrefix(header.Get("Content-Type"), "text/event-stream") || header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v", e.response.StatusCode, header)
	}
	first := e.update()
	if !first.Snapshot || len(first.Counts) != 2 {
		t.Fatalf("%+v", first)
	}
	s.counts.vote("A")
	if second := e.update(); second.Snapshot || len(second.Counts) != 1 || second.Seq <= first.Seq {
		t.Fatalf("%+v", second)
	}
	// By GET, as browsers' EventSource does it.
	ctx, cancel := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/?query="+url.QueryEscape(tallySubscription), nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "text/event-stream")
	if got := s.do(request, cancel).update(); !got.Snapshot {
		t.Fatalf("%+v", got)
	}
	// Who leaves is forgotten.
	e.cancel()
	cancel()
	testenv.Eventually(t, 20*time.Second, func() error {
		if s.handler.Open() != 0 || s.hub.Count() != 0 {
			return fmt.Errorf("%d connections, %d subscriptions are left", s.handler.Open(), s.hub.Count())
		}
		return nil
	})
}

// A stream outlives the deadlines of requests.
func TestAnEventStreamLasts(t *testing.T) {
	s := newStreaming(t, func(cfg *httpapi.Config, server *http.Server) {
		cfg.Timeout = 100 * time.Millisecond
		server.ReadTimeout, server.WriteTimeout = 100*time.Millisecond, 100*time.Millisecond
	})
	e := s.events(tallySubscription)
	for began := time.Now(); time.Since(began) < 500*time.Millisecond; {
		e.update()
		s.counts.vote("A")
	}
}

func TestEventStreamsThatEndWithAnError(t *testing.T) {
	s := newStreaming(t, func(cfg *httpapi.Config, _ *http.Server) { cfg.Callers = people{new(atomic.Bool)} })
	for ballot, code := range map[string]string{"none": "BALLOT_NOT_FOUND", "hidden": "RESULTS_HIDDEN", "a.b": "INVALID_ARGUMENT"} {
		e := s.events(`subscription { tally(ballot: "` + ballot + `") { seq } }`)
		if event, data := e.next(); event != "next" || !strings.Contains(data, `"code":"`+code+`"`) || strings.Contains(data, `"data"`) {
			t.Errorf("%s: %s %s", ballot, event, data)
		}
		if event, data := e.next(); event != "complete" || data != "" {
			t.Errorf("%s: %q %q, want complete", ballot, event, data)
		}
		if event, _ := e.next(); event != "" {
			t.Errorf("%s: %q after the end", ballot, event)
		}
	}
	if got := s.events(`subscription { tally(ballot: "hidden") `+tallyFields+` }`, "Authorization", "Bearer voted").update(); !got.Snapshot {
		t.Errorf("%+v", got)
	}
}

// Only subscriptions are streamed, and only to those who can take a stream: routers name the type with every query.
func TestWhatIsStreamed(t *testing.T) {
	s := newStreaming(t)
	const query = `{ getUserVotes(username: "A") { votes } }`
	for name, test := range map[string]struct {
		query, accept string
		status        int
		contentType   string
	}{
		"a query for both":              {query, "text/event-stream, application/json", 200, typeJSON},
		"a query for both, other order": {query, "application/graphql-response+json;q=0.5, text/event-stream;q=1", 200, "application/graphql-response+json"},
		"a query as a stream":           {query, "text/event-stream", 406, typeJSON},
		"no query":                      {`{`, "text/event-stream", 200, typeJSON},
		"a mutation as a stream":        {`mutation { ticketAndVote(usernames: ["A"]) { success } }`, "text/event-stream", 406, typeJSON},
		"a subscription for JSON":       {tallySubscription, "application/json", 406, typeJSON},
		"a subscription for anything":   {tallySubscription, "*/*", 406, typeJSON},
		"a subscription, not a stream":  {tallySubscription, "text/event-stream;q=0, */*", 406, typeJSON},
		"a subscription for both":       {tallySubscription, "application/json, text/event-stream", 200, "text/event-stream"},
		"a wrong subscription":          {`subscription { tally { nothing } }`, "text/event-stream", 200, typeJSON},
		"of another type":               {tallySubscription, "image/png", 406, typeJSON},
	} {
		e := s.events(test.query, "Accept", test.accept)
		if got := e.response.Header.Get("Content-Type"); e.response.StatusCode != test.status || !strings.HasPrefix(got, test.contentType) {
			t.Errorf("%s: %d %s", name, e.response.StatusCode, got)
		}
		e.cancel()
	}
}

const typeJSON = "application/json"

func TestEventStreamsAreBoundedByThemselves(t *testing.T) {
	s := newStreaming(t, func(cfg *httpapi.Config, _ *http.Server) { cfg.Streams.Most, cfg.MaxAtOnce = 2, 1 })
	for range 2 {
		s.events(tallySubscription).update()
	}
	if e := s.events(tallySubscription); e.response.StatusCode != http.StatusTooManyRequests || e.response.Header.Get("Retry-After") == "" {
		t.Errorf("a third one: %d", e.response.StatusCode)
	}
	// They take no place of requests.
	if e := s.events(`{ getUserVotes(username: "A") { votes } }`, "Accept", "application/json"); e.response.StatusCode != http.StatusOK {
		t.Errorf("a query: %d", e.response.StatusCode)
	}
}

// A gateway that stops ends a stream cleanly, and without "complete": then its client subscribes again elsewhere.
func TestAGatewayThatStopsEndsEventStreams(t *testing.T) {
	s := newStreaming(t)
	e := s.events(tallySubscription)
	e.update()
	s.handler.Drain()
	if event, data := e.next(); event != "" || e.lines.Err() != nil {
		t.Errorf("%q %q %v", event, data, e.lines.Err())
	}
	s.handler.Wait(t.Context())
	if e := s.events(tallySubscription); e.response.StatusCode != http.StatusTooManyRequests {
		t.Errorf("a new one: %d", e.response.StatusCode)
	}
}
