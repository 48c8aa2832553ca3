package cache

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-kratos/aegis/topk"
	"github.com/redis/go-redis/v9"
)

const (
	// hotTTL and hotJitter are how long a slice's hot keys stay in Redis.
	hotTTL    = 600 * time.Second
	hotJitter = 120 * time.Second
)

// HotConfig describes the sketch.
type HotConfig struct {
	Width, Depth, Top int
	Decay             float64 // base b of the chance b^-count that another key takes one off a counter
	Least             int
	Fade, Publish     time.Duration
}

// Hot knows which keys are read most, by HeavyKeeper (Gong et al., USENIX ATC 2018): a sketch whose counters belong to one
// key at a time, and decay when others come, so that a rare key never looks frequent for long, and a frequent one is
// hardly ever counted too low. All counts are halved at each fade, so that heat passes.
type Hot struct {
	cfg HotConfig
	rdb redis.UniversalClient
	log *slog.Logger

	mu     sync.Mutex
	sketch topk.Topk

	elsewhere atomic.Pointer[map[string]bool] // keys that are hot by the counts of all instances
}

// NewHot returns a sketch that has counted nothing.
func NewHot(cfg HotConfig, rdb redis.UniversalClient, log *slog.Logger) *Hot {
	h := &Hot{cfg: cfg, rdb: rdb, log: log}
	h.sketch = topk.NewHeavyKeeper(uint32(cfg.Top), uint32(cfg.Width), uint32(cfg.Depth), 1/cfg.Decay, uint32(cfg.Least))
	h.elsewhere.Store(&map[string]bool{})
	return h
}

// Seen counts a read of a key, and reports whether the key is hot.
func (h *Hot) Seen(key string) bool {
	h.mu.Lock()
	_, here := h.sketch.Add(key, 1)
	h.mu.Unlock()
	return here || (*h.elsewhere.Load())[key]
}

// Top returns the hot keys with their counts.
func (h *Hot) Top() map[string]int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	top := make(map[string]int64)
	for _, item := range h.sketch.List() {
		if int(item.Count) >= h.cfg.Least {
			top[item.Key] = int64(item.Count)
		}
	}
	return top
}

func (h *Hot) fade() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sketch.Fading()
}

// Run fades and publishes until ctx ends.
func (h *Hot) Run(ctx context.Context) {
	fade, publish := time.NewTicker(h.cfg.Fade), time.NewTicker(h.cfg.Publish)
	defer fade.Stop()
	defer publish.Stop()
	h.share(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-fade.C:
			h.fade()
		case <-publish.C:
			h.share(ctx)
		}
	}
}

// share adds this instance's hot keys to those of all, and learns what is hot by the sum. A failure costs warmth only.
func (h *Hot) share(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := h.publish(ctx, time.Now()); err != nil {
		h.log.WarnContext(ctx, "share the hot keys", "error", err)
	}
}

// publish writes into the current slice of time, and reads it and the one before.
func (h *Hot) publish(ctx context.Context, now time.Time) error {
	slice := now.UnixMilli() / h.cfg.Publish.Milliseconds()
	current, before := hotKey(slice), hotKey(slice-1)
	var sums [2]*redis.StringSliceCmd
	_, err := h.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for key, count := range h.Top() {
			p.ZIncrBy(ctx, current, float64(count), key)
		}
		p.PExpire(ctx, current, hotTTL+rand.N(hotJitter))
		for i, key := range []string{current, before} {
			sums[i] = p.ZRevRange(ctx, key, 0, int64(h.cfg.Top)-1)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("hot keys in Redis: %w", err)
	}
	hot := make(map[string]bool)
	for _, sum := range sums {
		for _, key := range sum.Val() {
			hot[key] = true
		}
	}
	h.elsewhere.Store(&hot)
	return nil
}

func hotKey(slice int64) string { return redisPrefix + "hot:" + strconv.FormatInt(slice, 10) }
