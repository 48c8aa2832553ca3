package cache

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/testenv"
)

// defaultHot are the published figures.
func defaultHot() HotConfig {
	return HotConfig{Width: 10_000, Depth: 10, Top: 100, Decay: 1.08, Least: 10, Fade: time.Hour, Publish: 5 * time.Minute}
}

func testRedis(t *testing.T, url string) redis.UniversalClient {
	t.Helper()
	rdb, err := redisledger.Open(url, 10, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// S66: the sketch finds the most read keys among many, and never counts one too high.
func TestS66HeavyKeeperFindsTheHotKeys(t *testing.T) {
	h := NewHot(defaultHot(), nil, slog.New(slog.DiscardHandler))
	zipf := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), 1.1, 1, 200_000)
	truth := map[string]int64{}
	for range 100_000 {
		key := fmt.Sprint("post:", zipf.Uint64())
		truth[key]++
		h.Seen(key)
	}
	top := h.Top()
	if len(top) != 100 {
		t.Fatalf("%d keys are hot, want 100", len(top))
	}
	for n := range 40 {
		if key := fmt.Sprint("post:", n); top[key] == 0 {
			t.Errorf("%s was read %d times and is not hot", key, truth[key])
		}
	}
	for key, count := range top {
		if count > truth[key] || float64(count) < .95*float64(truth[key]) {
			t.Errorf("%s is counted %d times and was read %d times", key, count, truth[key])
		}
	}
}

// What is read now and then does not become hot, however many such keys there are, and heat passes.
func TestS66ColdKeysStayColdAndHeatPasses(t *testing.T) {
	h := NewHot(defaultHot(), nil, slog.New(slog.DiscardHandler))
	for n := range 30_000 {
		if h.Seen(fmt.Sprint("post:", n)) {
			t.Fatalf("read %d was one of a key that nobody had read, and made it hot", n)
		}
	}
	hot := 0
	for range 20 {
		if h.Seen("post:x") {
			hot++
		}
	}
	if hot == 0 || hot > 11 {
		t.Fatalf("of 20 reads %d found the key hot, want those from the tenth on", hot)
	}
	for range 5 {
		h.fade()
	}
	if h.Seen("post:x") || len(h.Top()) != 0 {
		t.Error("it is hot after its count has been halved five times")
	}
}

// Instances tell one another, through keys of Redis that go by themselves after 600 to 720 s.
func TestS66HotKeysAreShared(t *testing.T) {
	rdb := testRedis(t, testenv.Redis(t))
	log := slog.New(slog.DiscardHandler)
	here, there := NewHot(defaultHot(), rdb, log), NewHot(defaultHot(), rdb, log)
	key := "post:" + testenv.Namespace(t)
	for range 20 {
		here.Seen(key)
	}
	now := time.UnixMilli(rand.Int64N(1 << 40)) // a slice of time that no other test has
	if there.Seen(key) {
		t.Fatal("hot before anybody has told")
	}
	for _, h := range []*Hot{here, there} {
		if err := h.publish(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	if !there.Seen(key) {
		t.Error("not hot after it was told")
	}
	slice := hotKey(now.UnixMilli() / (5 * time.Minute).Milliseconds())
	if ttl := rdb.PTTL(t.Context(), slice).Val(); ttl <= 599*time.Second || ttl > 720*time.Second {
		t.Errorf("they last for %v", ttl)
	}
	if err := there.publish(t.Context(), now.Add(5*time.Minute)); err != nil || !there.Seen(key) {
		t.Errorf("not hot in the next slice of time: %v", err)
	}
	if err := there.publish(t.Context(), now.Add(15*time.Minute)); err != nil {
		t.Fatal(err)
	}
	fresh := NewHot(defaultHot(), rdb, log)
	if err := fresh.publish(t.Context(), now.Add(15*time.Minute)); err != nil || fresh.Seen(key) {
		t.Errorf("hot when everybody has forgotten: %v", err)
	}
}
