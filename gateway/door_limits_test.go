package gateway

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/littlevote/littlevote/gateway/internal/identity/identitytest"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/testenv"
)

// behindProxy is a gateway whose clients' addresses a proxy on this machine tells.
func (s *services) behindProxy(t *testing.T, b *blog, limits Limits) *running {
	t.Helper()
	cfg := s.blogConfig(t, b)
	cfg.Gateway.TrustedProxies = []string{"127.0.0.0/8"}
	limits.RedisWait = defaultLimits().RedisWait
	cfg.Gateway.Limits = limits
	return start(t, cfg)
}

// Every door refuses in its words, with 429 and when to come back, and lets others in.
func TestEveryDoorLimits(t *testing.T) {
	s, b := newServices(t), newBlog()
	gateway := s.behindProxy(t, b, Limits{AddressRate: 1, AddressBurst: 2})
	base := "http://" + gateway.Addr()
	graphql := func(text string) string {
		got := gateway.parse(text)
		wait, _ := got.Errors[0].Extensions["retryAfterMs"].(float64)
		if len(got.Errors) != 1 || got.Data != nil || wait < 1 || wait > 1000 || got.Errors[0].Extensions["outcome"] != "NONE" || got.Errors[0].Extensions["retryable"] != true {
			t.Errorf("%s", text)
		}
		return got.code(t)
	}
	rest := func(text string) string {
		if !strings.Contains(text, `"code":42900`) {
			t.Errorf("%s", text)
		}
		_, reason, _ := strings.Cut(text, `"reason":"`)
		reason, _, _ = strings.Cut(reason, `"`)
		return reason
	}
	for i, door := range []struct {
		method, path, body string
		code               func(text string) string
	}{
		{"POST", gateway.Path(), typename, graphql},
		{"GET", gateway.Path() + "?query=%7B__typename%7D", "", graphql},
		{"POST", "/cast/graphql", typename, graphql},
		{"POST", "/tiny/graphql", typename, graphql},
		{"GET", "/api/blog/list", "", rest},
		{"POST", "/api/thumb/do", `{"blogId":` + aPost + `}`, rest},
	} {
		greedy, other := "192.0.2."+strconv.Itoa(i+1), "198.51.100."+strconv.Itoa(i+1)
		ask := func(from string) (int, string, http.Header) {
			return gateway.send(door.method, base+door.path, door.body, "Content-Type", "application/json", "X-Forwarded-For", from)
		}
		refused := 0
		for range 5 {
			status, text, header := ask(greedy)
			if status == http.StatusOK {
				continue
			}
			refused++
			if status != http.StatusTooManyRequests || header.Get("Retry-After") != "1" || door.code(text) != "RATE_LIMITED" {
				t.Errorf("%s: %d %v %s", door.path, status, header, text)
			}
		}
		if refused < 2 || refused > 3 {
			t.Errorf("%s: %d of 5 were refused", door.path, refused)
		}
		if status, text, _ := ask(other); status != http.StatusOK {
			t.Errorf("%s: another one got %d %s", door.path, status, text)
		}
	}
	// Pages and probes are for everybody.
	for range 10 {
		for _, path := range []string{"/", "/livez", "/api/openapi.json"} {
			if status, text, _ := gateway.send(http.MethodGet, base+path, "", "X-Forwarded-For", "192.0.2.1"); status != http.StatusOK {
				t.Fatalf("%s: %d %s", path, status, text)
			}
		}
	}
}

// Each mutation of a document counts.
func TestALimitCountsMutations(t *testing.T) {
	s, b := newServices(t), newBlog()
	gateway := s.behindProxy(t, b, Limits{AddressRate: 1, AddressBurst: 10})
	const five = `{"query":"mutation { a: ticketAndVote(usernames: [\"A\"]) { code } ...M } fragment M on Mutation { b: ticketAndVote(usernames: [\"A\"]) { code } c: ticketAndVote(usernames: [\"A\"]) { code } d: ticketAndVote(usernames: [\"A\"]) { code } e: ticketAndVote(usernames: [\"A\"]) { code } }"}`
	for i, want := range []int{200, 200, 429} {
		status, text, _ := gateway.send(http.MethodPost, gateway.url, five, "Content-Type", "application/json", "X-Forwarded-For", "192.0.2.1")
		if status != want {
			t.Errorf("%d: %d %s", i, status, text)
		}
	}
}

// forgetLimits empties a Redis of what other runs have left in it.
func forgetLimits(t *testing.T, url string) {
	t.Helper()
	rdb, err := redisledger.Open(url, 1, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer rdb.Close()
	keys, err := rdb.Keys(t.Context(), "{littlevote-door}:*").Result()
	if err == nil && len(keys) > 0 {
		err = rdb.Del(t.Context(), keys...).Err()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestVotersAreLimitedWhereverTheyAre(t *testing.T) {
	s, issuer := newServices(t), identitytest.New(t)
	cfg := s.config(t)
	cfg.Auth.Issuers = []string{issuer.URL}
	cfg.Gateway.TrustedProxies = []string{"127.0.0.1"}
	cfg.Gateway.Limits.VoterRate, cfg.Gateway.Limits.VoterBurst = 1, 2
	cfg.Gateway.Limits.AddressRate, cfg.Gateway.Limits.AddressBurst = 1, 20
	// The limits are in a Redis, which two gateways share.
	cfg.Redis.URL, cfg.Gateway.Limits.RedisWait = testenv.Redis(t), time.Second
	forgetLimits(t, cfg.Redis.URL)
	one, two := start(t, cfg), start(t, cfg)
	ask := func(at *running, token, from string) int {
		header := []string{"Content-Type", "application/json", "X-Forwarded-For", from}
		if token != "" {
			header = append(header, "Authorization", "Bearer "+token)
		}
		status, _, _ := at.send(http.MethodPost, at.url, typename, header...)
		return status
	}
	alice, bob := issuer.Token("alice", "", ""), issuer.Token("bob", "", "")
	statuses := map[int]int{}
	for i := range 6 {
		at := one
		if i%2 == 0 {
			at = two
		}
		statuses[ask(at, alice, "203.0.113."+strconv.Itoa(i+1))]++
	}
	if statuses[200] < 2 || statuses[200] > 3 || statuses[429] < 3 {
		t.Errorf("alice: %v", statuses)
	}
	if status := ask(one, bob, "203.0.113.1"); status != http.StatusOK {
		t.Errorf("bob: %d", status)
	}
	// Whoever guesses tokens is limited by the address.
	statuses = map[int]int{}
	for range 30 {
		statuses[ask(one, "guess", "203.0.113.200")]++
	}
	if statuses[401] < 20 || statuses[401] > 22 || statuses[429] < 8 {
		t.Errorf("guesses: %v", statuses)
	}
}

// A WebSocket counts when it is opened, and each of its subscriptions.
func TestWebSocketsAreLimited(t *testing.T) {
	s, b := newServices(t), newBlog()
	gateway := s.behindProxy(t, b, Limits{AddressRate: 1, AddressBurst: 4})
	dial := func(from string) (*socket, int) {
		conn, answer, err := websocket.Dial(t.Context(), gateway.url, &websocket.DialOptions{ //nolint:bodyclose // the library does
			Subprotocols: []string{"graphql-transport-ws"}, HTTPHeader: http.Header{"X-Forwarded-For": {from}},
		})
		if err != nil {
			if answer == nil || answer.Header.Get("Retry-After") == "" {
				t.Fatalf("%v %v", err, answer)
			}
			return nil, answer.StatusCode
		}
		t.Cleanup(func() { conn.CloseNow() })
		return &socket{t: t, conn: conn}, answer.StatusCode
	}
	c, _ := dial("192.0.2.1")
	c.send(`{"type":"connection_init"}`)
	c.receive()
	limited := 0
	for i := range 8 {
		id := strconv.Itoa(i)
		c.send(`{"id":"` + id + `","type":"subscribe","payload":{"query":"subscription { nothing }"}}`)
		switch code := c.failed(id); code {
		case "RATE_LIMITED":
			limited++
		case "GRAPHQL_VALIDATION_FAILED":
		default:
			t.Error(code)
		}
	}
	if limited < 4 || limited > 5 {
		t.Errorf("%d of 8 subscriptions were refused", limited)
	}
	if _, status := dial("192.0.2.1"); status != http.StatusTooManyRequests {
		t.Errorf("%d", status)
	}
	if _, status := dial("192.0.2.2"); status != http.StatusSwitchingProtocols {
		t.Errorf("another one: %d", status)
	}
}

// Without limits nobody is looked at.
func TestNoLimitsByDefault(t *testing.T) {
	gateway := newServices(t).start(t)
	if gateway.entrance.limits != nil || gateway.entrance.rdb != nil {
		t.Error("there are limits")
	}
}
