package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/littlevote/littlevote/libs/loader"
	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/testenv"
)

// database is L3: things with a version each, and a count of the fetches.
type database struct {
	mu      sync.Mutex
	rows    map[ID]Entry[string]
	away    bool
	fetches atomic.Int64
	hold    chan struct{} // while it is there, fetches that have read wait for it
}

func (d *database) fetch(_ context.Context, ids []ID) (map[ID]Entry[string], error) {
	d.mu.Lock()
	hold := d.hold
	entries, away := map[ID]Entry[string]{}, d.away
	for _, id := range ids {
		if e, ok := d.rows[id]; ok {
			entries[id] = e
		}
	}
	d.mu.Unlock()
	d.fetches.Add(1)
	if hold != nil {
		<-hold
	}
	if away {
		return nil, errors.New("away")
	}
	return entries, nil
}

// write changes a thing, and returns its new version.
func (d *database) write(id ID, owner, value string, found bool) Entry[string] {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := Entry[string]{Version: d.rows[id].Version + 1, Owner: owner, Found: found, Value: value}
	d.rows[id] = e
	return e
}

func (d *database) set(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

// newCache is one instance's cache, whose link is up.
func newCache(t *testing.T, redisURL string, db *database, change func(*Config[string], *HotConfig)) *Cache[string] {
	t.Helper()
	rdb, log := testRedis(t, redisURL), slog.New(slog.DiscardHandler)
	link, hotness := NewLink(rdb, log), defaultHot()
	cfg := Config[string]{
		Kind: "post", Fetch: db.fetch,
		Encode:    func(v string) ([]byte, error) { return []byte(v), nil },
		Decode:    func(data []byte) (string, error) { return string(data), nil },
		LocalSize: 1000, LocalTTL: 5 * time.Minute, SharedTTL: 10 * time.Minute, SharedJitter: 2 * time.Minute, AbsentTTL: 5 * time.Second,
		Loader: loader.Config{Workers: 2, Queue: 1000, Timeout: 10 * time.Second},
		Redis:  rdb, Link: link, Log: log,
	}
	hotness.Least = 1 // everything is hot
	change(&cfg, &hotness)
	cfg.Hot = NewHot(hotness, rdb, log)
	meter, _, err := service.NewMeter("test")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Metrics, err = NewMetrics(meter, cfg.Hot); err != nil {
		t.Fatal(err)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() { link.Run(ctx) })
	wg.Go(func() { c.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait(); c.Close() })
	linked(t, c, true)
	return c
}

func linked(t *testing.T, c *Cache[string], up bool) {
	t.Helper()
	testenv.Eventually(t, 20*time.Second, func() error {
		if c.link.Up() != up {
			return fmt.Errorf("the link is up: %v", !up)
		}
		return nil
	})
}

func asIs(*Config[string], *HotConfig) {}

// one is what a reader sees of one thing.
func one(t *testing.T, c *Cache[string], id ID, r Reader) Result[string] {
	t.Helper()
	got, err := c.Get(t.Context(), []ID{id}, r)
	if err != nil {
		t.Fatal(err)
	}
	return got[id]
}

func newDatabase(t *testing.T) (*database, ID) {
	return &database{rows: map[ID]Entry[string]{}}, ID{Tenant: testenv.Namespace(t), Number: rand.Int64N(1e15)}
}

func TestS65AReadGoesThroughThreeLevels(t *testing.T) {
	url := testenv.Redis(t)
	db, id := newDatabase(t)
	a, b := newCache(t, url, db, asIs), newCache(t, url, db, asIs)
	a.Changed(t.Context(), id, db.write(id, "alice", "one", true))
	if r := one(t, a, id, Reader{}); r.Value != "one" || !r.Found || r.Stale || db.fetches.Load() != 0 {
		t.Fatalf("%+v after %d fetches", r, db.fetches.Load())
	}
	key := redisPrefix + id.key("post")
	if ttl := a.shared.rdb.PTTL(t.Context(), key).Val(); ttl <= 599*time.Second || ttl > 720*time.Second {
		t.Errorf("in Redis for %v, want 600 to 720 s", ttl)
	}
	if err := a.shared.rdb.Del(t.Context(), key).Err(); err != nil {
		t.Fatal(err)
	}
	if r := one(t, a, id, Reader{}); r.Value != "one" || db.fetches.Load() != 0 {
		t.Fatalf("a hot thing came from elsewhere than memory: %d fetches", db.fetches.Load())
	}
	if r := one(t, b, id, Reader{}); r.Value != "one" || db.fetches.Load() != 1 {
		t.Fatalf("the other instance made %d fetches, want 1", db.fetches.Load())
	}
	b.local.reset()
	if r := one(t, b, id, Reader{}); r.Value != "one" || db.fetches.Load() != 1 {
		t.Fatalf("what one fetched, Redis should have: %d fetches", db.fetches.Load())
	}
}

// Only what is hot gets into memory, and no more of it than was said.
func TestS65OnlyHotThingsAreInMemory(t *testing.T) {
	db, id := newDatabase(t)
	c := newCache(t, testenv.Redis(t), db, func(cfg *Config[string], h *HotConfig) { cfg.LocalSize, h.Least = 5, 3 })
	db.write(id, "", "one", true)
	for range 2 {
		one(t, c, id, Reader{})
	}
	if _, ok := c.local.get(id); ok {
		t.Error("in memory after two reads")
	}
	one(t, c, id, Reader{})
	if _, ok := c.local.get(id); !ok {
		t.Error("not in memory after three reads")
	}
	for n := range int64(50) {
		for range 3 {
			one(t, c, ID{Tenant: id.Tenant, Number: n + 1}, Reader{})
		}
	}
	testenv.Eventually(t, 5*time.Second, func() error {
		c.local.entries.CleanUp()
		if n := c.local.size(); n > 5 {
			return fmt.Errorf("%d things are in memory", n)
		}
		return nil
	})
}

func TestS65ThatThereIsNothingIsRememberedBriefly(t *testing.T) {
	db, id := newDatabase(t)
	c := newCache(t, testenv.Redis(t), db, asIs)
	for range 10 {
		if r := one(t, c, id, Reader{}); r.Found {
			t.Fatalf("%+v", r)
		}
	}
	if n := db.fetches.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
	if ttl := c.shared.rdb.PTTL(t.Context(), redisPrefix+id.key("post")).Val(); ttl <= 0 || ttl > 5*time.Second {
		t.Errorf("remembered for %v", ttl)
	}
	c.Changed(t.Context(), id, db.write(id, "alice", "one", true))
	if r := one(t, c, id, Reader{}); r.Value != "one" {
		t.Errorf("after it was made: %+v", r)
	}
}

// A write through one instance ends what another one has in memory; so does a deletion.
func TestS65AChangeReachesEveryInstance(t *testing.T) {
	url := testenv.Redis(t)
	db, id := newDatabase(t)
	a, b := newCache(t, url, db, asIs), newCache(t, url, db, asIs)
	a.Changed(t.Context(), id, db.write(id, "alice", "one", true))
	for _, found := range []bool{true, false} {
		one(t, b, id, Reader{})
		want := fmt.Sprint("two ", found)
		a.Changed(t.Context(), id, db.write(id, "alice", want, found))
		testenv.Eventually(t, 5*time.Second, func() error {
			if r := one(t, b, id, Reader{}); r.Found != found || found && r.Value != want {
				return fmt.Errorf("still %+v", r)
			}
			return nil
		})
	}
}

// Who wrote reads what they wrote, through any instance, though its memory has not heard yet.
func TestS65WhoWroteReadsTheirWrite(t *testing.T) {
	url := testenv.Redis(t)
	db, id := newDatabase(t)
	a, b := newCache(t, url, db, asIs), newCache(t, url, db, asIs)
	for n := range 200 {
		want := fmt.Sprint("text ", n)
		one(t, b, id, Reader{})
		a.Changed(t.Context(), id, db.write(id, "alice", want, true))
		if r := one(t, b, id, Reader{Viewer: "alice"}); r.Value != want {
			t.Fatalf("after %q alice reads %q", want, r.Value)
		}
	}
	// Fresh asks the database even where nobody has told anything.
	db.write(id, "alice", "the latest", true)
	if r := one(t, b, id, Reader{Fresh: true}); r.Value != "the latest" {
		t.Fatalf("fresh is %+v", r)
	}
}

// A fetch that read before a write, and stores after it, must not bring the old version back, on any level.
func TestS65ARefillNeverOverwritesANewerVersion(t *testing.T) {
	url := testenv.Redis(t)
	for _, found := range []bool{true, false} {
		db, id := newDatabase(t)
		a, b := newCache(t, url, db, asIs), newCache(t, url, db, asIs)
		db.write(id, "alice", "old", true)
		hold := make(chan struct{})
		db.set(func() { db.hold = hold })
		slow := make(chan Result[string], 1)
		go func() { slow <- one(t, b, id, Reader{}) }()
		testenv.Eventually(t, 10*time.Second, func() error {
			if db.fetches.Load() == 0 {
				return errors.New("nothing is fetched")
			}
			return nil
		})
		a.Changed(t.Context(), id, db.write(id, "alice", "new", found))
		testenv.Eventually(t, 10*time.Second, func() error { // b has heard of it
			if _, ok := b.local.floors.GetIfPresent(id); !ok {
				return errors.New("the message is on its way")
			}
			return nil
		})
		db.set(func() { db.hold = nil })
		close(hold)
		<-slow
		for _, c := range []*Cache[string]{a, b} {
			if r := one(t, c, id, Reader{}); r.Found != found || r.Version != 2 {
				t.Errorf("after a slow read: %+v", r)
			}
		}
	}
}

// The same as a property: whatever the order in which versions come, the greatest stays, in Redis and in memory.
func TestS65VersionsNeverGoBackwards(t *testing.T) {
	db, id := newDatabase(t)
	c := newCache(t, testenv.Redis(t), db, asIs)
	generation := c.local.generation()
	var wg sync.WaitGroup
	for _, version := range rand.Perm(100) {
		wg.Go(func() {
			e := Entry[string]{Version: int64(version + 1), Found: true, Value: fmt.Sprint(version + 1)}
			if err := c.shared.put(t.Context(), map[ID]Entry[string]{id: e}); err != nil {
				t.Error(err)
			}
			c.local.change(id, e.Version)
			c.local.put(id, e, generation)
		})
	}
	wg.Wait()
	shared, err := c.shared.get(t.Context(), []ID{id})
	if err != nil || shared[id].Version != 100 || shared[id].Value != "100" {
		t.Errorf("Redis has %+v, %v", shared[id], err)
	}
	if e, ok := c.local.get(id); !ok || e.Version != 100 {
		t.Errorf("memory has %+v", e)
	}
}

// S67: however often one thing is read, stores hardly notice.
func TestS67AHotSpotIsReadFromMemory(t *testing.T) {
	const readers, least = 20, 10
	db, id := newDatabase(t)
	c := newCache(t, testenv.Redis(t), db, func(_ *Config[string], h *HotConfig) { h.Least = least })
	db.write(id, "alice", "viral", true)
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			for range 500 {
				if r := one(t, c, id, Reader{}); r.Value != "viral" {
					t.Errorf("%+v", r)
				}
			}
		})
	}
	wg.Wait()
	// Before it is hot, and once more each, readers may find Redis empty, and ask when the fetch that fills it has ended.
	if n := db.fetches.Load(); n > readers+least {
		t.Errorf("%d fetches from the database", n)
	}
	db.set(func() { db.away = true })
	if err := c.shared.rdb.Del(t.Context(), redisPrefix+id.key("post")).Err(); err != nil {
		t.Fatal(err)
	}
	if r := one(t, c, id, Reader{}); r.Value != "viral" || r.Stale {
		t.Errorf("%+v, not from memory", r)
	}
}
