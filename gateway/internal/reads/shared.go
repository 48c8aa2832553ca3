package reads

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/overload"
	"github.com/littlevote/littlevote/gateway/internal/spans"
	"github.com/littlevote/littlevote/libs/groupcommit"
	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/tracing"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// Config bounds a reader.
type Config struct {
	InFlight int           // calls at once; while they run the next batch gathers
	MaxBatch int           // reads that one call answers
	MaxQueue int           // reads that wait; more are refused as OVERLOADED
	MaxWait  time.Duration // how long a read may have to wait, by the speed of the queue, before it is refused instead
	Timeout  time.Duration // of one call, with its repetitions
}

const (
	overloadedRetry  = 200 * time.Millisecond
	unavailableRetry = time.Second
)

// result is what a read came to.
type result[V any] struct {
	value V
	err   error
}

// read is one caller's question, waiting.
type read[K comparable, V any] struct {
	key  K
	span trace.Span
	ctx  context.Context //nolint:containedctx // only asked whether anybody still waits
	done chan result[V]  // holds one, so that nobody waits for a caller
}

// shared answers the same question once for all who ask it at the same moment.
type shared[K comparable, V any] struct {
	name  string // of the span of a read
	batch *groupcommit.Batcher[*read[K, V]]
	gate  *overload.Gate
}

// newShared makes the calls of an RPC: it calls fetch with the different questions of each batch; fetch calls answer once for each of them, in any
// order, from any goroutine, before it returns.
func newShared[K comparable, V any](
	cfg Config, rpc string, observer overload.Observer, fetch func(ctx context.Context, keys []K, answer func(i int, value V, err error)),
) *shared[K, V] {
	gate := overload.NewGate(cfg.InFlight*cfg.MaxBatch, cfg.MaxWait, observer, time.Now)
	one, many := "read "+rpc, rpc+" batch"
	run := func(ctx context.Context, batch []*read[K, V]) {
		keys, waiting := group(batch)
		if len(keys) == 0 {
			return
		}
		ctx, span := tracing.Batch(ctx, many, "reads", batch, func(r *read[K, V]) trace.Span { return r.span })
		defer span.End()
		ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
		defer cancel()
		var refused atomic.Int64
		fetch(ctx, keys, func(i int, value V, err error) {
			if refusedAs(err) == statusv1.Code_CODE_OVERLOADED {
				refused.Add(int64(len(waiting[i])))
			}
			for _, r := range waiting[i] {
				r.done <- result[V]{value: value, err: err}
			}
		})
		gate.Left(len(batch), int(refused.Load()))
	}
	return &shared[K, V]{name: one, gate: gate, batch: groupcommit.New(groupcommit.Config{
		Workers: cfg.InFlight, MaxBatch: cfg.MaxBatch, MaxQueue: cfg.MaxQueue,
	}, run)}
}

// refusedAs is the code of a refusal, unspecified where there is none.
func refusedAs(err error) statusv1.Code {
	var refused *answer.Refusal
	if errors.As(err, &refused) {
		return refused.Code
	}
	return statusv1.Code_CODE_UNSPECIFIED
}

// group returns the different keys of a batch, and who waits for each. Reads that nobody waits for any more are left out.
func group[K comparable, V any](batch []*read[K, V]) ([]K, [][]*read[K, V]) {
	index := make(map[K]int, len(batch))
	var keys []K
	var waiting [][]*read[K, V]
	for _, r := range batch {
		if r.ctx.Err() != nil {
			continue
		}
		i, known := index[r.key]
		if !known {
			i = len(keys)
			index[r.key] = i
			keys = append(keys, r.key)
			waiting = append(waiting, nil)
		}
		waiting[i] = append(waiting[i], r)
	}
	return keys, waiting
}

// get waits for the answer, at most as long as ctx.
func (s *shared[K, V]) get(ctx context.Context, key K) (V, error) {
	ctx, span := tracing.Start(ctx, s.name)
	value, err := s.ask(ctx, key)[0].wait()
	spans.End(span, err)
	return value, err
}

// many calls found once for each question with its answer.
func (s *shared[K, V]) many(ctx context.Context, keys []K, found func(i int, value V, err error)) {
	ctx, span := tracing.Start(ctx, s.name)
	defer span.End()
	for i, r := range s.ask(ctx, keys...) {
		value, err := r.wait()
		found(i, value, err)
	}
}

// ask queues questions together. Those that find no place have their refusal as an answer.
func (s *shared[K, V]) ask(ctx context.Context, keys ...K) []*read[K, V] {
	span, waiting := trace.SpanFromContext(ctx), s.batch.Len()
	asked, queued := make([]*read[K, V], len(keys)), make([]*read[K, V], 0, len(keys))
	for i, key := range keys {
		asked[i] = &read[K, V]{key: key, span: span, ctx: ctx, done: make(chan result[V], 1)}
		if retry, ok := s.gate.Admit(waiting + len(queued)); ok {
			queued = append(queued, asked[i])
		} else {
			refused := overloaded(nil)
			refused.RetryAfter = retry
			asked[i].done <- result[V]{err: refused}
		}
	}
	if err := s.batch.Put(queued...); err != nil {
		s.turnAway(queued, err)
	}
	return asked
}

func (s *shared[K, V]) turnAway(reads []*read[K, V], err error) {
	refused := unavailable(err)
	full := errors.Is(err, groupcommit.ErrFull)
	if full {
		refused = overloaded(err)
	}
	for _, r := range reads {
		if full {
			s.gate.Full()
		}
		r.done <- result[V]{err: refused}
	}
}

func (r *read[K, V]) wait() (V, error) {
	select {
	case result := <-r.done:
		return result.value, result.err
	case <-r.ctx.Done():
		var none V
		return none, unavailable(r.ctx.Err())
	}
}

func (s *shared[K, V]) close(ctx context.Context) { s.batch.Close(ctx) }

// ballotsAtOnce bounds the calls that one batch makes at the same time where an RPC answers one question only.
const ballotsAtOnce = 16

// oneByOne fetches where an RPC answers one question only.
func oneByOne[K comparable, V any](
	ctx context.Context, keys []K, one func(ctx context.Context, key K) (V, error), answerTo func(i int, value V, err error),
) {
	if len(keys) == 1 {
		value, err := one(ctx, keys[0])
		answerTo(0, value, err)
		return
	}
	var wait sync.WaitGroup
	slots := make(chan struct{}, ballotsAtOnce)
	for i, key := range keys {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			value, err := one(ctx, key)
			answerTo(i, value, err)
		})
	}
	wait.Wait()
}

func overloaded(cause error) *answer.Refusal {
	return &answer.Refusal{
		Code: statusv1.Code_CODE_OVERLOADED, Text: answer.Overloaded, Retryable: true, RetryAfter: overloadedRetry, Cause: cause,
	}
}

func unavailable(cause error) *answer.Refusal {
	return &answer.Refusal{
		Code: statusv1.Code_CODE_UNAVAILABLE, Text: answer.Unavailable, Retryable: true, RetryAfter: unavailableRetry, Cause: cause,
	}
}

// refusal turns the error of a call into what the caller is told.
func refusal(err error) *answer.Refusal {
	if detail, ok := service.Detail(err); ok {
		return &answer.Refusal{
			Code: detail.GetCode(), Text: answer.ForCode(detail.GetCode()), Retryable: detail.GetRetryable(),
			RetryAfter: detail.GetRetryAfter().AsDuration(), Cause: err,
		}
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return unavailable(err)
	case codes.ResourceExhausted:
		return overloaded(err)
	default:
		return &answer.Refusal{Code: statusv1.Code_CODE_INTERNAL, Text: answer.Internal, Cause: err}
	}
}

const (
	// restart is how long a call is made again while no replica can be reached, or those that are end: long enough for one
	// that is started anew.
	restart = time.Second
	// shortestPause and longestPause bound the wait between two tries.
	shortestPause = 20 * time.Millisecond
	longestPause  = 200 * time.Millisecond
)

// again repeats a call that got no word from a service: reads have no effect, so that is safe. The first time it does so
// at once, since a replica that dies cuts off calls that another one can answer.
func again[R any](ctx context.Context, call func() (R, error)) (R, error) {
	began := time.Now()
	for wait := time.Duration(0); ; wait = min(max(2*wait, shortestPause), longestPause) {
		response, err := call()
		if err == nil || status.Code(err) != codes.Unavailable || time.Since(began)+wait > restart {
			return response, err
		}
		if _, said := service.Detail(err); said || !pause(ctx, wait) {
			return response, err
		}
	}
}

// pause waits; false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
