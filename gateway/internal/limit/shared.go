package limit

import (
	"context"
	_ "embed"
	"errors"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/littlevote/littlevote/libs/groupcommit"
)

//go:embed gcra.lua
var gcra string

const (
	// apart is how long a process keeps the limits by itself once Redis has not answered.
	apart = time.Second
	// together is how many requests go to Redis in one pipeline, inFlight how many pipelines at once, and waiting how many may wait.
	together = 1000
	inFlight = 2
	waiting  = 10_000
	// prefix begins all keys. Its part in braces keeps them on one node of a Redis Cluster, where one script can have them all.
	prefix = "{littlevote-door}:"
)

// shared keeps limits in Redis, for all processes together.
type shared struct {
	rdb      redis.UniversalClient
	script   *redis.Script
	batch    *groupcommit.Batcher[*asked]
	patience time.Duration
	until    atomic.Int64 // until when Redis is left alone, in nanoseconds since 1970
	log      *slog.Logger
}

// asked is one request that waits for its answer.
type asked struct {
	keys []string
	args []any
	done chan answered // holds one, so that nobody waits for a caller
}

type answered struct {
	at   int
	wait time.Duration
	err  error
}

func newShared(rdb redis.UniversalClient, patience time.Duration, log *slog.Logger) *shared {
	s := &shared{rdb: rdb, script: redis.NewScript(gcra), patience: patience, log: log}
	s.batch = groupcommit.New(groupcommit.Config{Workers: inFlight, MaxBatch: together, MaxQueue: waiting}, s.run)
	return s
}

func (s *shared) close() { s.batch.Close(context.Background()) }

func (s *shared) parted() bool { return time.Now().UnixNano() < s.until.Load() }

// take returns which limit says to wait longest, and how long; false if Redis can't tell.
func (s *shared) take(ctx context.Context, limits []of, n int) (int, time.Duration, bool) {
	if s.parted() {
		return 0, 0, false
	}
	one := &asked{keys: make([]string, len(limits)), args: make([]any, 1, 1+2*len(limits)), done: make(chan answered, 1)}
	one.args[0] = n
	for i, limit := range limits {
		one.keys[i] = prefix + limit.key
		const second = 1e6 // microseconds
		one.args = append(one.args, strconv.FormatFloat(second/float64(limit.rate.PerSecond), 'f', -1, 64), limit.rate.Burst)
	}
	if s.batch.Put(one) != nil {
		return 0, 0, false
	}
	limited, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	select {
	case got := <-one.done:
		if got.err != nil {
			s.part(ctx, got.err)
		}
		return got.at - 1, got.wait, got.err == nil
	case <-limited.Done():
		if ctx.Err() == nil {
			s.part(ctx, limited.Err())
		}
		return 0, 0, false
	}
}

// part leaves Redis alone for a moment. Of those who find out at the same time one says so.
func (s *shared) part(ctx context.Context, cause error) {
	now, until := time.Now(), s.until.Load()
	if now.UnixNano() >= until && s.until.CompareAndSwap(until, now.Add(apart).UnixNano()) {
		s.log.WarnContext(ctx, "Redis does not answer: this gateway keeps the limits at the door by itself for a moment", "error", cause)
	}
}

// run asks for a batch in one go, and once more with its text where Redis does not know the script.
func (s *shared) run(ctx context.Context, batch []*asked) {
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	unknown := s.ask(ctx, batch, s.script.EvalSha)
	if len(unknown) == 0 {
		return
	}
	for _, one := range s.ask(ctx, unknown, s.script.Eval) {
		one.done <- answered{err: errScript}
	}
}

var errScript = errors.New("redis forgot the script at once")

type eval func(ctx context.Context, c redis.Scripter, keys []string, args ...any) *redis.Cmd

// ask answers those of a batch for whom Redis knows the script, and returns the others.
func (s *shared) ask(ctx context.Context, batch []*asked, run eval) (unknown []*asked) {
	sent := make([]*redis.Cmd, len(batch))
	_, _ = s.rdb.Pipelined(ctx, func(to redis.Pipeliner) error { // each command has its own error
		for i, one := range batch {
			sent[i] = run(ctx, to, one.keys, one.args...)
		}
		return nil
	})
	for i, one := range batch {
		if redis.HasErrorPrefix(sent[i].Err(), "NOSCRIPT") {
			unknown = append(unknown, one)
			continue
		}
		one.done <- read(sent[i])
	}
	return unknown
}

func read(from *redis.Cmd) answered {
	reply, err := from.Int64Slice()
	if err != nil {
		return answered{err: err}
	}
	const pair = 2
	if len(reply) != pair {
		return answered{err: errors.New("the limits' script answers something else")}
	}
	return answered{at: int(reply[0]), wait: time.Duration(reply[1]) * time.Microsecond}
}
