package limit

import (
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/littlevote/littlevote/libs/testenv"
)

// relay stands before a Redis, which can be gone.
type relay struct {
	to    string
	gone  atomic.Bool
	mu    sync.Mutex
	conns []net.Conn
	net.Listener
}

func newRelay(t testing.TB, to string) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{to: to, Listener: listener}
	t.Cleanup(func() { _ = listener.Close(); r.cut() })
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil || r.gone.Load() {
				_ = in.Close()
				continue
			}
			r.mu.Lock()
			r.conns = append(r.conns, in, out)
			r.mu.Unlock()
			go func() { _, _ = io.Copy(in, out); _ = in.Close() }()
			go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
		}
	}()
	return r
}

func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range r.conns {
		_ = conn.Close()
	}
	r.conns = nil
}

// Redis dies in between: the limits hold on, in this process, and nobody waits; once it is back they are shared again.
func TestRedisDiesAndComesBack(t *testing.T) {
	options, err := redis.ParseURL(testenv.Redis(t))
	if err != nil {
		t.Fatal(err)
	}
	between := newRelay(t, options.Addr)
	rdb := open(t, "redis://"+between.Addr().String()+fmt.Sprintf("/%d", options.DB))
	forget(t, rdb)
	cfg := Config{Address: Rate{1, 3}, Patience: 5 * time.Second}
	l := newLimiter(t, cfg, rdb)
	r := from(t, "192.0.2.1")
	if got := take(l, 2, r); got != 2 || l.Degraded() != "" {
		t.Fatalf("%d, %q", got, l.Degraded())
	}
	between.gone.Store(true)
	between.cut()
	dead := from(t, "192.0.2.7")
	if got := take(l, 50, dead); got < 3 || got > 5 {
		t.Errorf("without Redis: %d of 3", got)
	}
	if l.Degraded() == "" {
		t.Error("nobody says so")
	}
	between.gone.Store(false)
	i := 0
	testenv.Eventually(t, 20*time.Second, func() error {
		i++
		r := from(t, fmt.Sprintf("198.51.100.%d", i%250))
		l.ask(r, 1)
		if l.Degraded() != "" {
			return fmt.Errorf("still alone")
		}
		return nil
	})
	// Another process's limiter knows what this one takes.
	r = from(t, "192.0.2.9")
	if got := take(l, 3, r); got != 3 {
		t.Fatal(got)
	}
	if got := take(newLimiter(t, cfg, rdb), 1, r); got != 0 {
		t.Error("the limits are not shared")
	}
}

// A Redis that says nothing holds nobody up for longer than it may.
func TestARedisThatHangs(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	l := newLimiter(t, Config{Address: Rate{1, 3}, Patience: 50 * time.Millisecond}, open(t, "redis://"+listener.Addr().String()))
	r := from(t, "192.0.2.1")
	began := time.Now()
	if got := take(l, 20, r); got < 3 || got > 5 {
		t.Errorf("%d of 3", got)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestRedisForgetsTheScript(t *testing.T) {
	rdb := open(t, testenv.Redis(t))
	forget(t, rdb)
	l := newLimiter(t, Config{Address: Rate{1, 3}}, rdb)
	r := from(t, "192.0.2.1")
	take(l, 1, r)
	if err := rdb.ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if got := take(l, 9, r); got != 2 || l.Degraded() != "" {
		t.Errorf("%d, %q", got, l.Degraded())
	}
}

// Keys of Redis tell nobody who has voted, and go by themselves.
func TestKeysInRedis(t *testing.T) {
	rdb := open(t, testenv.Redis(t))
	forget(t, rdb)
	l := newLimiter(t, Config{Address: Rate{1, 3}, Voter: Rate{1, 3}, Tenant: Rate{1, 3}}, rdb)
	take(l, 1, by(from(t, "192.0.2.1"), "jwt:alice", "acme"))
	keys, err := rdb.Keys(t.Context(), "*door*").Result()
	if err != nil || len(keys) != 3 {
		t.Fatalf("%v %v", keys, err)
	}
	for _, key := range keys {
		if len(key) != len(prefix)+2+32 {
			t.Errorf("%s", key)
		}
		if ttl, err := rdb.PTTL(t.Context(), key).Result(); err != nil || ttl <= 0 || ttl > time.Second {
			t.Errorf("%s: %v %v", key, ttl, err)
		}
	}
}
