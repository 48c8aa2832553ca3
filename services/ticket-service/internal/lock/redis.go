package lock

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// fenceKey counts the holds. Its hash tag is the lock's whole name, so both are in one slot of a Redis Cluster.
const fenceKey = "{" + Key + "}:fence"

// fenceLife is how long the counter outlives its last use.
const fenceLife = 24 * time.Hour

//go:embed take.lua
var takeSource string

//go:embed renew.lua
var renewSource string

//go:embed release.lua
var releaseSource string

// Redis keeps the lock in the Redis of the tickets: while that is away nobody could mint anyway.
type Redis struct {
	rdb                  redis.UniversalClient
	ttl                  time.Duration
	take, renew, release *redis.Script
}

// NewRedis returns the backend; a lock lasts for ttl.
func NewRedis(rdb redis.UniversalClient, ttl time.Duration) *Redis {
	return &Redis{
		rdb: rdb, ttl: ttl,
		take: redis.NewScript(takeSource), renew: redis.NewScript(renewSource), release: redis.NewScript(releaseSource),
	}
}

// Take implements Backend.
func (r *Redis) Take(ctx context.Context) (Claim, error) {
	token := rand.Text()
	keys := []string{Key, fenceKey}
	fence, err := r.take.Run(ctx, r.rdb, keys, token, r.ttl.Milliseconds(), fenceLife.Milliseconds()).Int64()
	if errors.Is(err, redis.Nil) {
		return nil, ErrTaken
	}
	if err != nil {
		return nil, fmt.Errorf("lock: take: %w", err)
	}
	return &redisClaim{store: r, token: token, fence: fence}, nil
}

// redisClaim is ours while the lock's value is the token.
type redisClaim struct {
	store *Redis
	token string
	fence int64
}

func (c *redisClaim) Fence() int64        { return c.fence }
func (c *redisClaim) Life() time.Duration { return c.store.ttl }

func (c *redisClaim) Renew(ctx context.Context) error {
	s := c.store
	keys := []string{Key, fenceKey}
	ours, err := s.renew.Run(ctx, s.rdb, keys, c.token, s.ttl.Milliseconds(), fenceLife.Milliseconds()).Bool()
	switch {
	case err != nil:
		return fmt.Errorf("lock: renew: %w", err)
	case !ours:
		return ErrLost
	}
	return nil
}

func (c *redisClaim) Release(ctx context.Context) error {
	if err := c.store.release.Run(ctx, c.store.rdb, []string{Key}, c.token).Err(); err != nil {
		return fmt.Errorf("lock: release: %w", err)
	}
	return nil
}
