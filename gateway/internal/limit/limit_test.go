package limit

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/identity"
	"github.com/littlevote/littlevote/gateway/internal/tenant"
	"github.com/littlevote/littlevote/gateway/internal/visit"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/testenv"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// end is a connection from somewhere.
type end struct {
	net.Conn

	at netip.Addr
}

func (e end) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.AddrPortFrom(e.at, 1)) }

// from is a request from an address.
func from(t testing.TB, address string, header ...string) *http.Request {
	t.Helper()
	ctx := visit.Connection(t.Context(), end{at: netip.MustParseAddr(address)})
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

// by is a request of somebody known.
func by(r *http.Request, voter string, of tenant.Name) *http.Request {
	return r.WithContext(identity.With(r.Context(), &identity.Identity{Tenant: of, Voter: voter}))
}

// ask takes n.
func (l *Limiter) ask(r *http.Request, n int) *answer.Refusal { return l.Take(r.Context(), r, n) }

func newLimiter(t testing.TB, cfg Config, rdb redis.UniversalClient) *Limiter {
	t.Helper()
	if cfg.Patience == 0 {
		cfg.Patience = 20 * time.Second // machines that run tests may be slow
	}
	l, err := New(cfg, rdb, noop.NewMeterProvider().Meter("test"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func open(t testing.TB, url string) redis.UniversalClient {
	t.Helper()
	rdb, err := redisledger.Open(url, 4, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// everywhere runs a test with limits in Redis and without. A Redis that is shared with other tests is emptied of limits.
func everywhere(t *testing.T, test func(t *testing.T, open func(Config) *Limiter)) {
	t.Helper()
	t.Run("alone", func(t *testing.T) {
		test(t, func(cfg Config) *Limiter { return newLimiter(t, cfg, nil) })
	})
	t.Run("Redis", func(t *testing.T) {
		rdb := open(t, testenv.Redis(t))
		forget(t, rdb)
		test(t, func(cfg Config) *Limiter { return newLimiter(t, cfg, rdb) })
	})
}

func forget(t testing.TB, rdb redis.UniversalClient) {
	t.Helper()
	keys, err := rdb.Keys(t.Context(), prefix+"*").Result()
	if err == nil && len(keys) > 0 {
		err = rdb.Del(t.Context(), keys...).Err()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// take takes so many times one, and returns how often it got it.
func take(l *Limiter, times int, r *http.Request) (got int) {
	for range times {
		if l.ask(r, 1) == nil {
			got++
		}
	}
	return got
}

func TestOneGreedyAddressHurtsNoOther(t *testing.T) {
	everywhere(t, func(t *testing.T, open func(Config) *Limiter) {
		l := open(Config{Address: Rate{1, 5}, Tenant: Rate{1, 8}})
		greedy := from(t, "192.0.2.1")
		if got := take(l, 1000, greedy); got < 5 || got > 7 {
			t.Fatalf("the greedy one got %d", got)
		}
		refusal := l.ask(greedy, 1)
		if refusal == nil || refusal.Code != statusv1.Code_CODE_RATE_LIMITED || refusal.RetryAfter <= 0 || refusal.RetryAfter > time.Second || !refusal.Retryable {
			t.Fatalf("%+v", refusal)
		}
		if l.Known(greedy) == nil {
			t.Error("it is not known at the next request")
		}
		// What it was refused it has not taken from the tenant.
		other := from(t, "192.0.2.2")
		if l.Known(other) != nil {
			t.Error("another one is known")
		}
		if got := take(l, 3, other); got != 3 {
			t.Errorf("another one got %d of 3", got)
		}
	})
}

func TestOfIPv6ANetworkCounts(t *testing.T) {
	everywhere(t, func(t *testing.T, open func(Config) *Limiter) {
		l := open(Config{Address: Rate{1, 2}, Network: Rate{1, 6}})
		// Any address of a /64 is the same one.
		r := from(t, "2001:db8:1:1::1")
		if got := take(l, 2, r); got != 2 {
			t.Fatal(got)
		}
		r = from(t, "2001:db8:1:1:ffff::9")
		if l.ask(r, 1) == nil {
			t.Error("another address of the same /64 counts anew")
		}
		// All of a /48 together have six, however many /64s they use.
		got := 2
		for i := range 50 {
			r := from(t, fmt.Sprintf("2001:db8:1:%x::1", i+2))
			got += take(l, 1, r)
		}
		if got < 6 || got > 8 {
			t.Errorf("a /48 got %d", got)
		}
		r = from(t, "2001:db8:2:1::1")
		if got := take(l, 2, r); got != 2 {
			t.Errorf("the next /48 got %d", got)
		}
	})
}

func TestTheSameAddressInTwoForms(t *testing.T) {
	l := newLimiter(t, Config{Address: Rate{1, 2}, Network: Rate{1, 1}}, nil)
	for i, address := range []string{"192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1"} {
		r := from(t, address)
		if got := take(l, 1, r); (got == 1) != (i < 2) {
			t.Errorf("%d, %s: %d", i, address, got)
		}
	}
	r := from(t, "::ffff:192.0.2.9")
	if got := take(l, 2, r); got != 2 {
		t.Errorf("an address of IPv4 counts for a network of IPv6: %d", got)
	}
}

func TestWhatAProxySaysIsBelievedOfTrustedOnes(t *testing.T) {
	proxies, err := visit.ParseProxies([]string{"10.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	l := newLimiter(t, Config{Address: Rate{1, 1}, Proxies: proxies}, nil)
	for i, step := range []struct {
		peer, said string
		ok         bool
	}{
		{"10.0.0.1", "192.0.2.1", true},
		{"10.0.0.1", "192.0.2.2", true},
		{"10.0.0.2", "192.0.2.1", false},
		{"10.0.0.2", "198.51.100.9, 192.0.2.1", false}, // what stands before it anybody may have written
		{"203.0.113.1", "192.0.2.3", true},
		{"203.0.113.1", "192.0.2.4", false}, // no proxy: it is itself
	} {
		r := from(t, step.peer, "X-Forwarded-For", step.said)
		if got := l.ask(r, 1) == nil; got != step.ok {
			t.Errorf("%d: %v", i, got)
		}
	}
}

func TestVotersAndTenants(t *testing.T) {
	everywhere(t, func(t *testing.T, open func(Config) *Limiter) {
		l := open(Config{Voter: Rate{1, 2}, Tenant: Rate{1, 5}})
		r := from(t, "192.0.2.1")
		if got := take(l, 4, by(r, "jwt:a", "acme")); got != 2 {
			t.Errorf("a voter got %d", got)
		}
		if got := take(l, 2, by(r, "jwt:a", "beta")); got != 2 {
			t.Errorf("one of the same name, of another tenant, got %d", got)
		}
		if got := take(l, 9, by(r, "jwt:b", "acme")) + take(l, 9, by(r, "jwt:c", "acme")); got < 3 || got > 4 {
			t.Errorf("the others of the tenant got %d", got)
		}
		// Who is unknown counts for the default tenant alone.
		if got := take(l, 9, r); got < 5 || got > 6 {
			t.Errorf("unknown ones got %d", got)
		}
	})
}

func TestSeveralAtOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, open func(Config) *Limiter) {
		l := open(Config{Address: Rate{1, 10}})
		r := from(t, "192.0.2.1")
		if l.ask(r, 8) != nil || l.ask(r, 8) == nil || l.ask(r, 1) != nil {
			t.Error("eight, then not eight, then one")
		}
		r = from(t, "192.0.2.2")
		if l.ask(r, 1000) != nil || l.ask(r, 1) == nil {
			t.Error("more than there may be at once take all")
		}
	})
}

func TestManyAtTheSameTime(t *testing.T) {
	everywhere(t, func(t *testing.T, open func(Config) *Limiter) {
		one, two := open(Config{Address: Rate{1, 40}}), open(Config{Address: Rate{1, 40}})
		var got atomic.Int64
		var wait sync.WaitGroup
		began := time.Now()
		for i := range 200 {
			wait.Go(func() {
				l := one
				if i%2 == 0 && one.shared != nil { // two gateways, one limit
					l = two
				}
				r := from(t, "192.0.2.1")
				got.Add(int64(take(l, 1, r)))
			})
		}
		wait.Wait()
		if most := 41 + int64(time.Since(began)/time.Second); got.Load() < 40 || got.Load() > most {
			t.Errorf("%d of 40", got.Load())
		}
	})
}

func TestMemoryIsBounded(t *testing.T) {
	l := newLimiter(t, Config{Address: Rate{1, 1}}, nil)
	address := netip.MustParseAddr("10.0.0.0")
	for range callers + 1000 {
		address = address.Next()
		limits := []of{{"address", address.String(), Rate{1, 1}}}
		l.alone.take(limits, 1, time.Now())
		l.refused.Add(limits[0].key, time.Now())
	}
	if l.alone.buckets.Len() != callers || l.refused.Len() != callers {
		t.Errorf("%d and %d", l.alone.buckets.Len(), l.refused.Len())
	}
}

func TestWhoWaitsGetsOnAgain(t *testing.T) {
	l := newLimiter(t, Config{Address: Rate{10, 1}}, nil)
	now := time.Now()
	l.now = func() time.Time { return now }
	r := from(t, "192.0.2.1")
	take(l, 1, r)
	refusal := l.ask(r, 1)
	if refusal == nil {
		t.Fatal("not refused")
	}
	now = now.Add(refusal.RetryAfter - time.Microsecond)
	if l.ask(r, 1) == nil {
		t.Error("too early")
	}
	now = now.Add(time.Millisecond)
	if l.Known(r) != nil || l.ask(r, 1) != nil {
		t.Error("refused after the wait it was told")
	}
}
