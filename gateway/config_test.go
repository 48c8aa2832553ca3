package gateway

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/littlevote/littlevote/gateway/internal/identity/identitytest"
	"github.com/littlevote/littlevote/libs/config"
)

// load reads flags and environment as the command does, and returns the exit code and what was printed.
func load(t *testing.T, cfg *Config, args []string, environ ...string) (int, string) {
	t.Helper()
	var out, problems bytes.Buffer
	code := config.Program{
		Name: "gateway", Args: args, Environ: environ, Stdout: &out, Stderr: &problems, Targets: []any{cfg},
		Run: func(context.Context, *slog.Logger) error { return nil },
	}.Execute(t.Context())
	return code, out.String() + problems.String()
}

func TestSettings(t *testing.T) {
	cfg := DefaultConfig()
	code, text := load(t, &cfg, []string{"--gateway-path", "/vote", "--dev"}, "LITTLEVOTE_GATEWAY_VOTES_QUEUE=7", "LITTLEVOTE_TICKET_TARGET=a:1,b:2")
	if code != 0 || cfg.Gateway.Path != "/vote" || cfg.Gateway.Votes.Queue != 7 || cfg.Ticket.Target != "a:1,b:2" || !cfg.Dev.Dev {
		t.Errorf("%d %s %+v", code, text, cfg)
	}
}

func TestBadSettings(t *testing.T) {
	for flag, key := range map[string]string{
		"--listen=8080":                                 "listen",
		"--admin-listen=x":                              "admin.listen",
		"--ticket-target=":                              "ticket.target",
		"--vote-target=":                                "vote.target",
		"--query-target=":                               "query.target",
		"--auth-audience=":                              "auth.audience",
		"--auth-algorithms=none":                        "auth.algorithms",
		"--auth-algorithms=RS256,HS256":                 "auth.algorithms",
		"--auth-algorithms=":                            "auth.algorithms",
		"--auth-issuers=x":                              "auth.issuers",
		"--auth-issuers=http://id.example":              "auth.issuers",
		"--auth-issuers=https://id.example/?a=b":        "auth.issuers",
		"--auth-issuers=https://a:b@id.example":         "auth.issuers",
		"--auth-issuers=file:///etc/passwd":             "auth.issuers",
		"--auth-jwks-file=x":                            "auth.issuers",
		"--gateway-path=":                               "gateway.path",
		"--gateway-path=/":                              "gateway.path",
		"--gateway-path=graphql":                        "gateway.path",
		"--gateway-path=/graphql/":                      "gateway.path",
		"--gateway-path=/a//b":                          "gateway.path",
		"--gateway-path=/a/../b":                        "gateway.path",
		"--gateway-path=/{x}":                           "gateway.path",
		"--gateway-path=/readyz":                        "gateway.path",
		"--gateway-path=/playground/x.js":               "gateway.path",
		"--gateway-path=/live":                          "gateway.path",
		"--gateway-live-interval=1ms":                   "gateway.live.interval",
		"--gateway-live-max-per-connection=0":           "gateway.live.max-per-connection",
		"--gateway-live-origins=*":                      "gateway.live.origins",
		"--gateway-live-origins=https://a.example/path": "gateway.live.origins",
		"--gateway-language=fr":                         "gateway.language",
		"--gateway-tls-cert-file=x":                     "gateway.tls.key-file",
		"--gateway-tls-key-file=x":                      "gateway.tls.cert-file",
		"--gateway-cors-origins=*":                      "gateway.cors.origins",
		"--gateway-cors-origins=https://*.example":      "gateway.cors.origins",
		"--gateway-cors-origins=null":                   "gateway.cors.origins",
		"--gateway-cors-origins=https://a.example/":     "gateway.cors.origins",
		"--gateway-timeouts-headers=0s":                 "gateway.timeouts.headers",
		"--gateway-timeouts-read=1h":                    "gateway.timeouts.read",
		"--gateway-timeouts-write=0s":                   "gateway.timeouts.write",
		"--gateway-timeouts-idle=-1s":                   "gateway.timeouts.idle",
		"--gateway-connections-most=0":                  "gateway.connections.most",
		"--gateway-connections-per-address=-1":          "gateway.connections.per-address",
		"--gateway-limits-address-rate=-1":              "gateway.limits.address-rate",
		"--gateway-limits-address-burst=0":              "gateway.limits.address-burst",
		"--gateway-limits-network-rate=100001":          "gateway.limits.network-rate",
		"--gateway-limits-voter-burst=0":                "gateway.limits.voter-burst",
		"--gateway-limits-tenant-burst=0":               "gateway.limits.tenant-burst",
		"--gateway-limits-redis-wait=2s":                "gateway.limits.redis-wait",
		"--gateway-persisted-queries=-1":                "gateway.persisted-queries",
		"--redis-url=http://x":                          "redis.url",
		"--gateway-request-timeout=1ms":                 "gateway.request-timeout",
		"--gateway-max-requests=0":                      "gateway.max-requests",
		"--gateway-max-body=1":                          "gateway.max-body",
		"--gateway-max-tokens=0":                        "gateway.max-tokens",
		"--gateway-max-depth=0":                         "gateway.max-depth",
		"--gateway-max-aliases=-1":                      "gateway.max-aliases",
		"--gateway-max-mutations=0":                     "gateway.max-mutations",
		"--gateway-max-complexity=0":                    "gateway.max-complexity",
		"--gateway-document-cache=-1":                   "gateway.document-cache",
		"--gateway-votes-in-flight=0":                   "gateway.votes.in-flight",
		"--gateway-votes-batch=1001":                    "gateway.votes.batch",
		"--gateway-votes-queue=0":                       "gateway.votes.queue",
		"--gateway-votes-timeout=1h":                    "gateway.votes.timeout",
		"--gateway-votes-ticket-wait=-1s":               "gateway.votes.ticket-wait",
		"--gateway-reads-in-flight=0":                   "gateway.reads.in-flight",
		"--gateway-reads-batch=0":                       "gateway.reads.batch",
		"--gateway-reads-queue=0":                       "gateway.reads.queue",
		"--gateway-reads-timeout=0s":                    "gateway.reads.timeout",
	} {
		cfg := DefaultConfig()
		if code, text := load(t, &cfg, []string{flag}); code != 2 || !strings.Contains(text, key) {
			t.Errorf("%s: exit code %d, %s", flag, code, text)
		}
	}
}

func TestDefaultsAreValid(t *testing.T) {
	cfg := DefaultConfig()
	code, text := load(t, &cfg, []string{"--print-config"})
	if code != 0 || !strings.Contains(text, "127.0.0.1:8080") || !strings.Contains(text, "/graphql") {
		t.Errorf("%d %s", code, text)
	}
}

func TestIssuersThatMayBe(t *testing.T) {
	for _, issuers := range []string{"https://id.example", "https://id.example/realms/x,https://b.example", "http://127.0.0.1:9", "http://[::1]:9/x", "http://localhost:1"} {
		cfg := DefaultConfig()
		if code, text := load(t, &cfg, []string{"--auth-issuers=" + issuers}); code != 0 {
			t.Errorf("%s: %d %s", issuers, code, text)
		}
	}
	cfg := DefaultConfig()
	if code, text := load(t, &cfg, []string{"--auth-issuers=any-name", "--auth-jwks-file=x"}); code != 0 {
		t.Errorf("%d %s", code, text)
	}
}

// A gateway whose keys can't be read does not start.
func TestNoKeySetNoStart(t *testing.T) {
	cfg := newServices(t).config(t)
	cfg.Auth.Issuers, cfg.Auth.JWKSFile = []string{"x"}, t.TempDir()
	var keyed *config.KeyError
	if _, err := New(t.Context(), cfg, testHost(t)); !errors.As(err, &keyed) || keyed.Key != "auth.jwks-file" {
		t.Error(err)
	}
}

// Where nobody can tell who calls, those who say nothing of themselves are served as ever.
func TestTheRestLivesWithoutAnIssuer(t *testing.T) {
	cfg := newServices(t).config(t)
	issuer := identitytest.New(t)
	cfg.Auth.Issuers, cfg.Blog.Target = []string{issuer.URL}, unusedAddress(t)
	issuer.Away.Store(true)
	gateway := start(t, cfg)
	const body = `{"query":"mutation { ticketAndVote(usernames: [\"A\"]) { code } }"}`
	for _, token := range []string{issuer.Token("alice", "", ""), "lvs_x"} {
		status, text, header := gateway.send(http.MethodPost, gateway.url, body, "Content-Type", "application/json", "Authorization", "Bearer "+token)
		if status != http.StatusServiceUnavailable || gateway.parse(text).code(t) != "UNAVAILABLE" || header.Get("Retry-After") != "1" {
			t.Errorf("%d %s %v", status, text, header)
		}
	}
	if got := gateway.ask(`mutation { ticketAndVote(usernames: ["A"]) { code } }`, nil).field(t, "ticketAndVote"); got["code"] != "OK" {
		t.Errorf("%v", got)
	}
}

// A gateway that can't check tickets does not start.
func TestNoKeyNoStart(t *testing.T) {
	cfg := newServices(t).config(t)
	cfg.Dev.Dev = false
	if _, err := New(t.Context(), cfg, testHost(t)); err == nil || !strings.Contains(err.Error(), "ticket.key-file") {
		t.Errorf("got %v", err)
	}
}
