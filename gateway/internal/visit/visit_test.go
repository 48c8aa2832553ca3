package visit

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/littlevote/littlevote/gateway/internal/identity"
)

type conn struct {
	net.Conn
	at net.Addr
}

func (c conn) RemoteAddr() net.Addr { return c.at }

func TestAddress(t *testing.T) {
	proxies, err := ParseProxies([]string{"10.0.0.0/8", "2001:db8::1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, from, forwarded, want string }{
		{"no proxy", "192.0.2.7:1234", "", "192.0.2.7"},
		{"nobody believes a stranger", "192.0.2.7:1234", "198.51.100.9", "192.0.2.7"},
		{"a proxy", "10.1.2.3:1234", "198.51.100.9", "198.51.100.9"},
		{"the client writes a hop of its own", "10.1.2.3:1234", "203.0.113.1, 198.51.100.9", "198.51.100.9"},
		{"two proxies", "10.1.2.3:1234", "198.51.100.9, 10.7.7.7", "198.51.100.9"},
		{"only proxies", "10.1.2.3:1234", "10.7.7.7", "10.7.7.7"},
		{"a proxy that says nothing", "10.1.2.3:1234", "", "10.1.2.3"},
		{"nonsense", "10.1.2.3:1234", "198.51.100.9, unknown", "10.1.2.3"},
		{"IPv6", "[2001:db8::1]:1234", "2001:db8:9::5", "2001:db8:9::5"},
		{"IPv4 in IPv6", "[::ffff:192.0.2.7]:1234", "", "192.0.2.7"},
	} {
		at, err := net.ResolveTCPAddr("tcp", test.from)
		if err != nil {
			t.Fatal(err)
		}
		header := http.Header{}
		if test.forwarded != "" {
			header.Set("X-Forwarded-For", test.forwarded)
		}
		if got := proxies.Address(Connection(t.Context(), conn{at: at}), header); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	if got := proxies.Address(t.Context(), nil); got != "" {
		t.Errorf("without a connection: %q", got)
	}
	if _, err := ParseProxies([]string{"10.0.0.0/8", "all"}); err == nil {
		t.Error(`"all" is taken for a network`)
	}
}

func TestCookie(t *testing.T) {
	cookie := func(https bool, do func(ctx context.Context)) *http.Cookie {
		w, r := httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
		if https {
			r.Header.Set("X-Forwarded-Proto", "https")
		}
		do(WithAnswer(t.Context(), w, r))
		return w.Result().Cookies()[0] //nolint:bodyclose // there is none
	}
	end := time.Now().Add(time.Hour)
	for _, https := range []bool{false, true} {
		begun := cookie(https, func(ctx context.Context) { Begin(ctx, "lvs_x", end) })
		if begun.Name != identity.Cookie || begun.Value != "lvs_x" || !begun.HttpOnly || begun.SameSite != http.SameSiteLaxMode ||
			begun.Secure != https || begun.Path != "/" || begun.Expires.Before(end.Add(-2*time.Second)) {
			t.Errorf("https %v: %v", https, begun)
		}
		if ended := cookie(https, End); ended.Value != "" || ended.MaxAge >= 0 || ended.Secure != https {
			t.Errorf("https %v: %v", https, ended)
		}
	}
	Begin(t.Context(), "lvs_x", end) // where there is no answer there is no cookie
}

func TestToken(t *testing.T) {
	for _, test := range []struct{ authorization, cookie, want string }{
		{"", "", ""},
		{"Bearer lvs_a", "", "lvs_a"},
		{"bearer  lvs_a", "lvs_b", "lvs_a"},
		{"Bearer a.jwt.of", "lvs_b", ""},
		{"Basic lvs_a", "", ""},
		{"", "lvs_b", "lvs_b"},
		{"", "something", ""},
	} {
		header := http.Header{}
		if test.authorization != "" {
			header.Set("Authorization", test.authorization)
		}
		if test.cookie != "" {
			header.Set("Cookie", "other=1; "+identity.Cookie+"="+test.cookie)
		}
		if got := Token(header); got != test.want {
			t.Errorf("%+v: %q", test, got)
		}
	}
}
