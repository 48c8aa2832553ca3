package reads

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/littlevote/littlevote/gateway/internal/answer"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// callsAlone bounds the calls of one kind that are on their way for one caller each. A call may wait at the other end
// until its deadline; they must leave room on the connection, which carries 1,000 at once, for those of everybody.
const callsAlone = 200

// alone makes calls that can't be shared: nobody else may be made to wait for what one caller asks for.
type alone struct {
	slots   chan struct{}
	waiting atomic.Int64
	most    int64 // callers that wait for a slot
	timeout time.Duration
}

func newAlone(cfg Config) *alone {
	return &alone{slots: make(chan struct{}, callsAlone), most: int64(cfg.MaxQueue), timeout: cfg.Timeout}
}

// do runs a call with a deadline. An error of its own means that the call was not made.
func (a *alone) do(ctx context.Context, call func(ctx context.Context)) error {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	select {
	case a.slots <- struct{}{}:
	default:
		if err := a.wait(ctx); err != nil {
			return err
		}
	}
	defer func() { <-a.slots }()
	call(ctx)
	return nil
}

func (a *alone) wait(ctx context.Context) error {
	if a.waiting.Add(1) > a.most {
		a.waiting.Add(-1)
		return overloaded(nil)
	}
	defer a.waiting.Add(-1)
	select {
	case a.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return overloaded(ctx.Err())
	}
}

// Calls are calls that each answer one caller. It is safe for concurrent use.
type Calls struct{ alone *alone }

// NewCalls returns calls that last as long as the timeout at most; it has nothing to close.
func NewCalls(cfg Config) *Calls { return &Calls{newAlone(cfg)} }

// Call makes a call that may be repeated harmlessly, and does so while no replica can be reached. Its error is an answer.Refusal.
func Call[R any](ctx context.Context, calls *Calls, rpc func(ctx context.Context) (R, error)) (R, error) {
	var response R
	var err error
	if refused := calls.alone.do(ctx, func(ctx context.Context) {
		response, err = again(ctx, func() (R, error) { return rpc(ctx) })
	}); refused != nil {
		return response, refused
	}
	if err != nil {
		return response, refusal(err)
	}
	return response, nil
}

// notReached is the answer where no store has seen a token in time.
func notReached(cause error) *answer.Refusal {
	return &answer.Refusal{
		Code: statusv1.Code_CODE_UNAVAILABLE, Text: answer.TokenNotReached, Retryable: true, RetryAfter: unavailableRetry, Cause: cause,
	}
}
