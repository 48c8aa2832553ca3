package likes

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/maypok86/otter/v2"
	"github.com/redis/go-redis/v9"
	"golang.org/x/time/rate"

	"github.com/littlevote/littlevote/libs/groupcommit"
)

// Rate is how many changes a second are allowed in the long run, and how many at once after a pause: the generic cell rate
// algorithm. Without PerSecond there is no limit.
type Rate struct{ PerSecond, Burst int }

const (
	// apart is how long a process keeps the limits by itself once Redis has not answered.
	apart = time.Second
	// callers bounds whom a process remembers by itself: beyond, those who were seen least are forgotten.
	callers = 100_000
	// forget is when a caller's time alone is over: every burst that can be set has come back before.
	forget = time.Minute
	// together is how many checks go to Redis in one pipeline, and waitingChecks how many may wait.
	together      = 1000
	waitingChecks = 100_000
)

// RedisLimiter keeps limits in Redis, for all processes together; while Redis does not answer, for this process alone. It is
// safe for concurrent use.
type RedisLimiter struct {
	shared   *redis_rate.Limiter
	pipeline *pipeline
	alone    *otter.Cache[string, *rate.Limiter]
	patience time.Duration
	apart    atomic.Int64 // until when Redis is not asked, in nanoseconds since 1970
	log      *slog.Logger
}

// NewRedisLimiter starts a limiter for which Redis may take so long; Close ends it.
func NewRedisLimiter(rdb redis.UniversalClient, patience time.Duration, log *slog.Logger) (*RedisLimiter, error) {
	alone, err := otter.New(&otter.Options[string, *rate.Limiter]{
		MaximumSize: callers, ExpiryCalculator: otter.ExpiryAccessing[string, *rate.Limiter](forget),
	})
	if err != nil {
		return nil, err
	}
	p := &pipeline{UniversalClient: rdb, patience: patience}
	p.batch = groupcommit.New(groupcommit.Config{Workers: 2, MaxBatch: together, MaxQueue: waitingChecks}, p.run)
	return &RedisLimiter{shared: redis_rate.NewLimiter(p), pipeline: p, alone: alone, patience: patience, log: log}, nil
}

// Close waits for the checks that are on their way, which have little time.
func (l *RedisLimiter) Close() { l.pipeline.batch.Close(context.Background()) }

// Allow implements Limiter.
func (l *RedisLimiter) Allow(ctx context.Context, key string, of Rate) (time.Duration, bool) {
	if time.Now().UnixNano() >= l.apart.Load() {
		limited, cancel := context.WithTimeout(ctx, l.patience)
		defer cancel()
		result, err := l.shared.Allow(limited, "likes:"+digest(key), redis_rate.Limit{Rate: of.PerSecond, Burst: of.Burst, Period: time.Second})
		if err == nil {
			return result.RetryAfter, result.Allowed > 0
		}
		if ctx.Err() == nil {
			l.part(ctx, err)
		}
	}
	return l.allowAlone(key, of)
}

// part leaves Redis alone for a moment. Of those who find out at the same time one says so.
func (l *RedisLimiter) part(ctx context.Context, cause error) {
	now, until := time.Now(), l.apart.Load()
	if now.UnixNano() >= until && l.apart.CompareAndSwap(until, now.Add(apart).UnixNano()) {
		l.log.WarnContext(ctx, "Redis does not answer: this process limits likes by itself for a moment", "error", cause)
	}
}

func (l *RedisLimiter) allowAlone(key string, of Rate) (time.Duration, bool) {
	bucket, _ := l.alone.ComputeIfAbsent(key, func() (*rate.Limiter, bool) {
		return rate.NewLimiter(rate.Limit(of.PerSecond), of.Burst), false
	})
	now := time.Now()
	taken := bucket.ReserveN(now, 1)
	if wait := taken.DelayFrom(now); wait > 0 {
		taken.CancelAt(now)
		return wait, false
	}
	return 0, true
}

// digest keeps names and addresses of people out of Redis's keys, and bounds their length.
func digest(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16])
}

// pipeline sends the scripts that are wanted at the same moment in one go.
type pipeline struct {
	redis.UniversalClient

	patience time.Duration
	batch    *groupcommit.Batcher[*script]
}

// script is one call that waits for its result.
type script struct {
	queue func(redis.Pipeliner) *redis.Cmd
	done  chan *redis.Cmd // holds one, so that nobody waits for a caller
}

// Eval replaces that of the client.
func (p *pipeline) Eval(ctx context.Context, text string, keys []string, args ...any) *redis.Cmd {
	return p.do(ctx, func(to redis.Pipeliner) *redis.Cmd { return to.Eval(ctx, text, keys, args...) })
}

// EvalSha replaces that of the client.
func (p *pipeline) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	return p.do(ctx, func(to redis.Pipeliner) *redis.Cmd { return to.EvalSha(ctx, sha, keys, args...) })
}

func (p *pipeline) do(ctx context.Context, queue func(redis.Pipeliner) *redis.Cmd) *redis.Cmd {
	failed := func(err error) *redis.Cmd {
		cmd := redis.NewCmd(ctx)
		cmd.SetErr(err)
		return cmd
	}
	s := &script{queue: queue, done: make(chan *redis.Cmd, 1)}
	if err := p.batch.Put(s); err != nil {
		return failed(err)
	}
	select {
	case cmd := <-s.done:
		return cmd
	case <-ctx.Done():
		return failed(ctx.Err())
	}
}

func (p *pipeline) run(ctx context.Context, batch []*script) {
	ctx, cancel := context.WithTimeout(ctx, p.patience)
	defer cancel()
	sent := make([]*redis.Cmd, len(batch))
	_, _ = p.Pipelined(ctx, func(to redis.Pipeliner) error { // each command has its own error
		for i, s := range batch {
			sent[i] = s.queue(to)
		}
		return nil
	})
	for i, s := range batch {
		s.done <- sent[i]
	}
}
