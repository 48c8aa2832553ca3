package lock

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/testenv"
)

// life is how long a lock of the tests lasts: the shortest that etcd has, and long beside what a busy machine makes wait.
const life = 2 * time.Second

// store is one backend under test: two replicas' views of one lock, and a way to take the lock from its holder.
type store struct {
	replicas [2]Backend
	steal    func(t *testing.T)
}

// each runs a test on every backend that keeps a lock.
func each(t *testing.T, test func(t *testing.T, s store)) {
	t.Helper()
	t.Parallel() // all of this is waiting
	t.Run("redis", func(t *testing.T) {
		test(t, redisStore(t, func(rdb redis.UniversalClient, key string) Backend { return NewRedis(rdb, key, life) }))
	})
	t.Run("ring", func(t *testing.T) {
		test(t, redisStore(t, func(rdb redis.UniversalClient, key string) Backend { return NewRing(rdb, key, life) }))
	})
	t.Run("etcd", func(t *testing.T) { test(t, etcdStore(t)) })
}

func redisStore(t *testing.T, open func(rdb redis.UniversalClient, key string) Backend) store {
	t.Helper()
	key := testenv.Namespace(t)
	url := testenv.Redis(t)
	var s store
	var clients [2]redis.UniversalClient
	for i := range clients {
		rdb, err := redisledger.Open(url, 10, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = rdb.Close() })
		clients[i], s.replicas[i] = rdb, open(rdb, key)
	}
	s.steal = func(t *testing.T) {
		t.Helper()
		if n, err := clients[1].Del(t.Context(), key).Result(); err != nil || n != 1 {
			t.Fatal(n, err)
		}
	}
	return s
}

func etcdStore(t *testing.T) store {
	t.Helper()
	key := testenv.Namespace(t)
	var s store
	var client *clientv3.Client
	for i := range s.replicas {
		e, err := NewEtcd(testenv.Etcd(t), nil, key, life)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = e.Close() })
		client, s.replicas[i] = e.client, e
	}
	s.steal = func(t *testing.T) {
		t.Helper()
		if r, err := client.Delete(t.Context(), key); err != nil || r.Deleted != 1 {
			t.Fatal(r, err)
		}
	}
	return s
}

func take(t *testing.T, b Backend) Claim {
	t.Helper()
	c, err := b.Take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func taken(t *testing.T, b Backend) {
	t.Helper()
	if _, err := b.Take(t.Context()); !errors.Is(err, ErrTaken) {
		t.Fatalf("the lock of another is taken: %v", err)
	}
}

func TestS17OneHolder(t *testing.T) {
	each(t, func(t *testing.T, s store) {
		first := take(t, s.replicas[0])
		taken(t, s.replicas[1])
		taken(t, s.replicas[0]) // not even by its own process a second time
		if first.Life() < life {
			t.Errorf("lasts %v", first.Life())
		}
		if err := first.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		second := take(t, s.replicas[1])
		if second.Fence() <= first.Fence() {
			t.Errorf("fence %d after %d", second.Fence(), first.Fence())
		}
		// The first holder, late, does no harm.
		_ = first.Release(t.Context())
		if err := first.Renew(t.Context()); !errors.Is(err, ErrLost) {
			t.Errorf("renewing what was released: %v", err)
		}
		taken(t, s.replicas[0])
		if err := second.Renew(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestS17LockOfADeadHolderRunsOut(t *testing.T) {
	each(t, func(t *testing.T, s store) {
		before := time.Now()
		dead := take(t, s.replicas[0])
		var next Claim
		testenv.Eventually(t, 5*life, func() (err error) {
			next, err = s.replicas[1].Take(t.Context())
			return err
		})
		if early := life - time.Since(before); early > 0 {
			t.Errorf("ran out %v too early", early)
		}
		if next.Fence() <= dead.Fence() {
			t.Errorf("fence %d after %d", next.Fence(), dead.Fence())
		}
		if err := dead.Renew(t.Context()); !errors.Is(err, ErrLost) {
			t.Errorf("renewed after its end: %v", err)
		}
	})
}

func TestStolenLockIsLost(t *testing.T) {
	each(t, func(t *testing.T, s store) {
		c := take(t, s.replicas[0])
		s.steal(t)
		if err := c.Renew(t.Context()); !errors.Is(err, ErrLost) {
			t.Errorf("renewed: %v", err)
		}
	})
}

func TestBackendIsAway(t *testing.T) {
	rdb, err := redisledger.Open("redis://127.0.0.1:1", 1, 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rdb.Close() }()
	etcd, err := NewEtcd([]string{"http://127.0.0.1:1"}, nil, "lock", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = etcd.Close() }()
	for _, b := range []Backend{NewRedis(rdb, "lock", time.Second), NewRing(rdb, "lock", time.Second), etcd} {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if _, err := b.Take(ctx); err == nil || errors.Is(err, ErrTaken) {
			t.Errorf("%T: %v", b, err)
		}
		cancel()
	}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
