package gateway

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/littlevote/littlevote/gateway/internal/httpapi"
	"github.com/littlevote/littlevote/libs/testenv"
)

func TestSubscriptionOverAWebSocket(t *testing.T) {
	s := newStreaming(t)
	c := s.open(`,"payload":{"app":"test"}`)
	c.send(`{"type":"ping","payload":{"n":1}}`)
	if m := c.receive(); m.Type != "pong" {
		t.Fatalf("%+v", m)
	}
	c.send(`{"type":"pong"}`)
	c.subscribe("1", "main")
	first := c.update("1")
	if !first.Snapshot || len(first.Counts) != 2 || first.Ballot != "main" || first.Stale {
		t.Fatalf("%+v", first)
	}
	s.counts.vote("B")
	second := c.update("1")
	if second.Snapshot || len(second.Counts) != 1 || second.Counts[0].Username != "B" || second.Counts[0].Votes != 1 || second.Seq <= first.Seq {
		t.Fatalf("%+v after %+v", second, first)
	}
	// Another one beside it, on the same WebSocket.
	c.subscribe("2", "other")
	if got := c.update("2"); !got.Snapshot || got.Ballot != "other" {
		t.Fatalf("%+v", got)
	}
	c.send(`{"id":"1","type":"complete"}`)
	c.send(`{"id":"unknown","type":"complete"}`)
	s.counts.vote("B")
	c.update("2")
	// The id is free again, and one that ends with an error is so too.
	c.subscribe("1", "none")
	if code := c.failed("1"); code != "BALLOT_NOT_FOUND" {
		t.Fatal(code)
	}
	c.subscribe("1", "main")
	if got := c.update("1"); !got.Snapshot {
		t.Fatalf("%+v", got)
	}
}

func TestOperationsThatAWebSocketDoesNotServe(t *testing.T) {
	s := newStreaming(t, func(cfg *httpapi.Config, _ *http.Server) { cfg.Streams.PerSocket = 1 })
	c := s.open("")
	for i, test := range []struct{ payload, code string }{
		{`{"query":"{ getUserVotes(username: \"A\") { votes } }"}`, "OPERATION_NOT_SERVED"},
		{`{"query":"mutation { ticketAndVote(usernames: [\"A\"]) { success } }"}`, "OPERATION_NOT_SERVED"},
		{`{"query":"subscription { tally { nothing } }"}`, "GRAPHQL_VALIDATION_FAILED"},
		{`{"query":"subscription {"}`, "GRAPHQL_PARSE_FAILED"},
		{`{"query":"subscription { a: tally { seq } b: tally { seq } }"}`, "BAD_USER_INPUT"},
		{`{"query":"subscription { __typename }"}`, "GRAPHQL_VALIDATION_FAILED"},
		{`{"query":"subscription A { tally { seq } } subscription B { tally { seq } }"}`, "OPERATION_RESOLUTION_FAILURE"},
		{`{"query":"subscription($b: ID) { tally(ballot: $b) { seq } }","variables":{"b":{}}}`, "BAD_USER_INPUT"},
		{`{"query":"subscription { tally(ballot: \"acme.main\") { seq } }"}`, "INVALID_ARGUMENT"},
		{`{"query":"subscription { tally(ballot: \"none\") { seq } }"}`, "BALLOT_NOT_FOUND"},
		{`{"query":"subscription { tally(ballot: \"hidden\") { seq } }"}`, "RESULTS_HIDDEN"},
	} {
		id := fmt.Sprint("id", i)
		c.send(`{"id":"` + id + `","type":"subscribe","payload":` + test.payload + `}`)
		if code := c.failed(id); code != test.code {
			t.Errorf("%s: %s, want %s", test.payload, code, test.code)
		}
	}
	c.subscribe("1", "main")
	c.update("1")
	c.subscribe("2", "main")
	if code := c.failed("2"); code != "OVERLOADED" {
		t.Error(code)
	}
}

func TestBrokenProtocolClosesAWebSocket(t *testing.T) {
	s := newStreaming(t)
	const query = `"payload":{"query":"subscription { tally { seq } }"}`
	for name, test := range map[string]struct {
		messages []string
		want     websocket.StatusCode
	}{
		"no JSON":                  {[]string{`hello`}, 4400},
		"a list":                   {[]string{`[]`}, 4400},
		"no type":                  {[]string{`{}`}, 4400},
		"an unknown type":          {[]string{`{"type":"start"}`}, 4400},
		"subscribe too early":      {[]string{`{"id":"1","type":"subscribe",` + query + `}`}, 4401},
		"initialised twice":        {[]string{`{"type":"connection_init"}`, `{"type":"connection_init"}`}, 4429},
		"a payload that is none":   {[]string{`{"type":"connection_init","payload":"token"}`}, 4400},
		"a token that is none":     {[]string{`{"type":"connection_init","payload":{"Authorization":{}}}`}, 4400},
		"no id":                    {[]string{`{"type":"connection_init"}`, `{"type":"subscribe",` + query + `}`}, 4400},
		"an empty id":              {[]string{`{"type":"connection_init"}`, `{"id":"","type":"subscribe",` + query + `}`}, 4400},
		"a long id":                {[]string{`{"type":"connection_init"}`, `{"id":"` + strings.Repeat("a", 129) + `","type":"subscribe",` + query + `}`}, 4400},
		"a number for an id":       {[]string{`{"type":"connection_init"}`, `{"id":1,"type":"subscribe",` + query + `}`}, 4400},
		"no request":               {[]string{`{"type":"connection_init"}`, `{"id":"1","type":"subscribe"}`}, 4400},
		"a request without query":  {[]string{`{"type":"connection_init"}`, `{"id":"1","type":"subscribe","payload":{"extensions":{"persistedQuery":{}}}}`}, 4400},
		"complete without an id":   {[]string{`{"type":"connection_init"}`, `{"type":"complete"}`}, 4400},
		"an id that is used":       {[]string{`{"type":"connection_init"}`, `{"id":"1","type":"subscribe",` + query + `}`, `{"id":"1","type":"subscribe",` + query + `}`}, 4409},
		"a message that is large":  {[]string{`{"type":"ping","payload":"` + strings.Repeat("a", 70_000) + `"}`}, websocket.StatusMessageTooBig},
		"more after the violation": {[]string{`hello`, `{"type":"connection_init"}`, `hello`}, 4400},
	} {
		t.Run(name, func(t *testing.T) {
			c := s.dial()
			for _, m := range test.messages {
				if c.conn.Write(t.Context(), websocket.MessageText, []byte(m)) != nil {
					break // closed already
				}
			}
			if code := c.closed(); code != test.want {
				t.Errorf("%d, want %d", code, test.want)
			}
		})
	}
	c := s.dial()
	if err := c.conn.Write(t.Context(), websocket.MessageBinary, []byte(`{"type":"connection_init"}`)); err != nil {
		t.Fatal(err)
	}
	if code := c.closed(); code != 4400 {
		t.Errorf("binary: %d", code)
	}
	testenv.Eventually(t, 20*time.Second, func() error {
		if s.handler.Open() != 0 || s.hub.Count() != 0 {
			return fmt.Errorf("%d connections, %d subscriptions are left", s.handler.Open(), s.hub.Count())
		}
		return nil
	})
}

func TestAWebSocketThatIsNotInitialised(t *testing.T) {
	s := newStreaming(t, func(cfg *httpapi.Config, _ *http.Server) { cfg.Streams.InitTimeout = 50 * time.Millisecond })
	if code := s.dial().closed(); code != 4408 {
		t.Errorf("%d", code)
	}
	c := s.open("")
	c.subscribe("1", "main")
	first := c.update("1")
	for range 10 { // for longer than that
		s.counts.vote("A")
		if next := c.update("1"); next.Seq <= first.Seq {
			t.Fatalf("%+v", next)
		}
	}
}

func TestHandshakes(t *testing.T) {
	s := newStreaming(t, func(cfg *httpapi.Config, _ *http.Server) {
		cfg.Streams.Origins, cfg.Streams.Most = []string{"https://www.example.org"}, 3
	})
	for origin, ok := range map[string]bool{
		s.url: true, "https://www.example.org": true, "http://www.example.org": false, "https://evil.example.org": false,
		"https://www.example.org.evil.com": false, "null": false,
	} {
		conn, answer, err := s.tryDial("graphql-transport-ws", "Origin", origin)
		if (err == nil) != ok || !ok && answer.status != http.StatusForbidden {
			t.Errorf("%s: %v %v", origin, answer, err)
		}
		if err == nil {
			_ = conn.CloseNow()
		}
	}
	// Another protocol, the old one of Apollo, or none.
	for _, protocol := range []string{"graphql-ws", "mqtt"} {
		testenv.Eventually(t, 20*time.Second, func() error { // those above leave their places
			conn, _, err := s.tryDial(protocol)
			if err == nil {
				if code := (&socket{t: t, conn: conn}).closed(); code != 4406 {
					t.Errorf("%s: %d", protocol, code)
				}
			}
			return err
		})
	}
	testenv.Eventually(t, 20*time.Second, func() error {
		if n := s.handler.Open(); n != 0 {
			return fmt.Errorf("%d are open", n)
		}
		return nil
	})
	for range 3 {
		s.dial()
	}
	if _, answer, err := s.tryDial("graphql-transport-ws"); err == nil || answer.status != http.StatusTooManyRequests || answer.retryAfter == "" {
		t.Errorf("a fourth one: %v %v", answer, err)
	}
}

func TestWhoSubscribes(t *testing.T) {
	s := newStreaming(t, func(cfg *httpapi.Config, _ *http.Server) { cfg.Callers = people{new(atomic.Bool)} })
	for _, payload := range []string{`{"Authorization":"Bearer voted"}`, `{"authorization":"Bearer voted","else":1}`} {
		c := s.open(`,"payload":` + payload)
		c.subscribe("1", "hidden")
		if got := c.update("1"); got.Ballot != "hidden" {
			t.Errorf("%+v", got)
		}
	}
	c := s.dial("Authorization", "Bearer voted")
	c.send(`{"type":"connection_init","payload":{}}`)
	c.receive()
	c.subscribe("1", "hidden")
	c.update("1")
	if viewer := s.counts.viewer("acme.hidden jwt:voted"); viewer == nil || viewer.GetOrganiser() {
		t.Errorf("seen: %v", viewer)
	}
	if _, answer, err := s.tryDial("graphql-transport-ws", "Authorization", "Bearer wrong"); err == nil || answer.status != http.StatusUnauthorized {
		t.Errorf("%v %v", answer, err)
	}
	for token, want := range map[string]websocket.StatusCode{"wrong": 4403, "away": websocket.StatusTryAgainLater} {
		c := s.dial()
		c.send(`{"type":"connection_init","payload":{"Authorization":"Bearer ` + token + `"}}`)
		if code := c.closed(); code != want {
			t.Errorf("%s: %d", token, code)
		}
	}
}

// A stream does not outlive the token that it began with.
func TestTokensThatEndWhileTheirStreamsGoOn(t *testing.T) {
	over := new(atomic.Bool)
	s := newStreaming(t, func(cfg *httpapi.Config, _ *http.Server) {
		cfg.Callers, cfg.Streams.LookEvery = people{over}, 20*time.Millisecond
	})
	c, unknown := s.open(`,"payload":{"Authorization":"Bearer voted"}`), s.open("")
	c.subscribe("1", "hidden")
	c.update("1")
	e := s.events(`subscription { tally(ballot: "hidden") `+tallyFields+` }`, "Authorization", "Bearer voted")
	e.update()
	over.Store(true)
	if code := c.closed(); code != 4403 {
		t.Errorf("%d", code)
	}
	if event, _ := e.next(); event != "" {
		t.Errorf("%q on an event stream", event)
	}
	unknown.subscribe("1", "main")
	unknown.update("1")
}

func TestClientsThatVanishLeaveNothingBehind(t *testing.T) {
	s := newStreaming(t)
	s.open("").conn.CloseNow()
	settled := func() error {
		if s.handler.Open() != 0 || s.hub.Count() != 0 {
			return fmt.Errorf("%d connections, %d subscriptions are left", s.handler.Open(), s.hub.Count())
		}
		return nil
	}
	testenv.Eventually(t, 20*time.Second, settled)
	before := runtime.NumGoroutine()
	for i := range 30 {
		c := s.open("")
		c.subscribe("1", "main")
		c.subscribe("2", "other")
		c.receive()
		if i%2 == 0 {
			c.conn.CloseNow()
		} else {
			_ = c.conn.Close(websocket.StatusNormalClosure, "")
		}
	}
	testenv.Eventually(t, 20*time.Second, func() error {
		if n := runtime.NumGoroutine(); n > before+5 {
			return fmt.Errorf("%d goroutines, %d before", n, before)
		}
		return settled()
	})
}

// F23: a client that stops reading loses its connection when its messages can't be written any more; others go on.
func TestF23AClientThatDoesNotRead(t *testing.T) {
	// Long enough for the one that reads, on a machine that is busy with other tests.
	s := newStreaming(t, func(cfg *httpapi.Config, _ *http.Server) { cfg.Streams.WriteTimeout = 3 * time.Second })
	for i := range 500 {
		s.counts.names = append(s.counts.names, fmt.Sprintf("%0200d", i))
	}
	s.counts.grow = true
	reads := s.open("")
	reads.conn.SetReadLimit(1 << 20)
	reads.subscribe("1", "main")
	stopped := s.open("")
	for id := range 20 {
		stopped.subscribe(fmt.Sprint(id), "main")
	}
	for s.handler.Open() == 2 {
		reads.update("1")
	}
	reads.update("1")
	testenv.Eventually(t, 20*time.Second, func() error {
		if s.handler.Open() != 1 || s.hub.Count() != 1 {
			return fmt.Errorf("%d connections, %d subscriptions", s.handler.Open(), s.hub.Count())
		}
		return nil
	})
}

func TestAClientThatDoesNotAnswerPings(t *testing.T) {
	s := newStreaming(t, func(cfg *httpapi.Config, _ *http.Server) {
		cfg.Streams.PingEvery, cfg.Streams.WriteTimeout = 20*time.Millisecond, 2*time.Second
	})
	s.open("") // a client answers pings only while it reads
	testenv.Eventually(t, 20*time.Second, func() error {
		if n := s.handler.Open(); n != 0 {
			return fmt.Errorf("%d are open", n)
		}
		return nil
	})
	c := s.open("")
	c.subscribe("1", "main")
	for began := time.Now(); time.Since(began) < 300*time.Millisecond; {
		c.update("1")
		s.counts.vote("A")
	}
}

func TestAGatewayThatStopsClosesWebSockets(t *testing.T) {
	s := newStreaming(t)
	c, idle := s.open(""), s.dial()
	c.subscribe("1", "main")
	c.update("1")
	s.handler.Drain()
	for _, one := range []*socket{c, idle} {
		if code := one.closed(); code != websocket.StatusGoingAway {
			t.Errorf("%d", code)
		}
	}
	s.handler.Wait(t.Context())
	testenv.Eventually(t, 20*time.Second, func() error {
		if n := s.hub.Count(); n != 0 {
			return fmt.Errorf("%d subscriptions are left", n)
		}
		return nil
	})
	if _, answer, err := s.tryDial("graphql-transport-ws"); err == nil || answer.status != http.StatusTooManyRequests {
		t.Errorf("%v %v", answer, err)
	}
}
