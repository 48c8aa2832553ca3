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

// fenceLife is how long the counter outlives its last use.
const fenceLife = 24 * time.Hour

//go:embed take.lua
var takeSource string

//go:embed renew.lua
var renewSource string

//go:embed release.lua
var releaseSource string

// Redis keeps the lock in the Redis of the tickets: while that is away they stand in Postgres, where every replica mints.
type Redis struct {
	rdb                  redis.UniversalClient
	keys                 []string // the lock, and the count of the holds
	ttl                  time.Duration
	take, renew, release *redis.Script
}

// NewRedis returns the backend; a lock lasts for ttl. The hash tag of the count is the whole name of the lock, so both
// are in one slot of a Redis Cluster.
func NewRedis(rdb redis.UniversalClient, key string, ttl time.Duration) *Redis {
	return &Redis{
		rdb: rdb, keys: []string{key, "{" + key + "}:fence"}, ttl: ttl,
		take: redis.NewScript(takeSource), renew: redis.NewScript(renewSource), release: redis.NewScript(releaseSource),
	}
}

// Take implements Backend.
func (r *Redis) Take(ctx context.Context) (Claim, error) {
	token := rand.Text()
	fence, err := r.take.Run(ctx, r.rdb, r.keys, token, r.ttl.Milliseconds(), fenceLife.Milliseconds()).Int64()
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
	ours, err := s.renew.Run(ctx, s.rdb, s.keys, c.token, s.ttl.Milliseconds(), fenceLife.Milliseconds()).Bool()
	switch {
	case err != nil:
		return fmt.Errorf("lock: renew: %w", err)
	case !ours:
		return ErrLost
	}
	return nil
}

func (c *redisClaim) Release(ctx context.Context) error {
	if err := c.store.release.Run(ctx, c.store.rdb, c.store.keys[:1], c.token).Err(); err != nil {
		return fmt.Errorf("lock: release: %w", err)
	}
	return nil
}
