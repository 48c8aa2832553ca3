package likes

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/ratelimiter"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/littlevote/littlevote/gateway/internal/overload"
	"github.com/littlevote/littlevote/gateway/internal/spans"
	"github.com/littlevote/littlevote/libs/groupcommit"
	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/tracing"
	blogv1 "github.com/littlevote/littlevote/proto/gen/littlevote/blog/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

const (
	// overloadedRetry is when to come back to a full queue: a few batches later.
	overloadedRetry = 200 * time.Millisecond
	// shortestPause and longestPause bound the wait before a change is tried again.
	shortestPause = 20 * time.Millisecond
	longestPause  = 250 * time.Millisecond
)

// changer gathers changes into calls.
type changer struct {
	client  blogv1.LikeServiceClient
	batch   *groupcommit.Batcher[*pending]
	gate    *overload.Gate
	timeout time.Duration
	wait    time.Duration // for which a change is tried again
	budget  ratelimiter.RateLimiter[any]
	closing atomic.Bool
	log     *slog.Logger
}

// pending is a change on its way.
type pending struct {
	change  *blogv1.LikeChange
	span    trace.Span
	queued  time.Time
	taken   atomic.Bool              // by a batch, or by its caller who gives up: whichever is first
	verdict chan *blogv1.LikeVerdict // holds one, so that nobody waits for a caller
}

func newChanger(client blogv1.LikeServiceClient, cfg Config, observer overload.Observer, log *slog.Logger) *changer {
	c := &changer{
		client: client, timeout: cfg.Timeout, wait: cfg.Wait, budget: ratelimiter.NewBursty[any](cfg.Retries, time.Second), log: log,
		gate: overload.NewGate(cfg.InFlight*cfg.MaxBatch, cfg.MaxWait, observer, time.Now),
	}
	c.batch = groupcommit.New(groupcommit.Config{Workers: cfg.InFlight, MaxBatch: cfg.MaxBatch, MaxQueue: cfg.MaxQueue}, c.run)
	return c
}

// decide returns the verdict on a change. It waits for at most ctx. What is refused only while the system can't take votes is
// tried again for a while, as far as the budget of all changes allows: each of these refusals is definite.
func (c *changer) decide(ctx context.Context, change *blogv1.LikeChange) *blogv1.LikeVerdict {
	ctx, span := tracing.Start(ctx, "like")
	for retries, end := 0, time.Now().Add(c.wait); ; retries++ {
		verdict := c.once(ctx, change, span)
		if verdict.GetCode() != statusv1.Code_CODE_UNAVAILABLE || verdict.GetOutcome() != statusv1.Outcome_OUTCOME_NONE {
			return decided(span, verdict, retries)
		}
		pause := min(max(verdict.GetRetryAfter().AsDuration(), shortestPause), longestPause)
		if time.Until(end) < pause || c.closing.Load() || !c.budget.TryAcquirePermit() {
			return decided(span, verdict, retries)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return decided(span, verdict, retries)
		}
	}
}

// decided ends the span of a change.
func decided(span trace.Span, verdict *blogv1.LikeVerdict, retries int) *blogv1.LikeVerdict {
	if span.IsRecording() {
		spans.Decided(span, verdict.GetCode(), verdict.GetOutcome(), retries)
	}
	return verdict
}

// once queues a change and waits for its verdict.
func (c *changer) once(ctx context.Context, change *blogv1.LikeChange, span trace.Span) *blogv1.LikeVerdict {
	if retry, ok := c.gate.Admit(c.batch.Len()); !ok {
		return refused(statusv1.Code_CODE_OVERLOADED, retry)
	}
	p := &pending{change: change, span: span, queued: time.Now(), verdict: make(chan *blogv1.LikeVerdict, 1)}
	if err := c.batch.Put(p); errors.Is(err, groupcommit.ErrFull) {
		c.gate.Full()
		return refused(statusv1.Code_CODE_OVERLOADED, overloadedRetry)
	} else if err != nil {
		return refused(statusv1.Code_CODE_UNAVAILABLE, unavailableRetry)
	}
	select {
	case verdict := <-p.verdict:
		return verdict
	case <-ctx.Done():
	}
	if p.taken.CompareAndSwap(false, true) {
		return refused(statusv1.Code_CODE_OVERLOADED, overloadedRetry) // it was never sent
	}
	select {
	case verdict := <-p.verdict:
		return verdict
	default:
		return unknown(change)
	}
}

// run makes one call, which no caller's context ends.
func (c *changer) run(ctx context.Context, batch []*pending) {
	request, sent := &blogv1.ChangeLikesRequest{}, make([]*pending, 0, len(batch))
	for _, p := range batch {
		if p.taken.CompareAndSwap(false, true) {
			spans.Waited(p.span, time.Since(p.queued))
			request.Changes, sent = append(request.Changes, p.change), append(sent, p)
		}
	}
	if len(sent) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	ctx, span := tracing.Batch(ctx, "ChangeLikes batch", "likes", sent, func(p *pending) trace.Span { return p.span })
	var replica peer.Peer // filled in by gRPC once the call has a connection
	response, err := c.client.ChangeLikes(ctx, request, grpc.Peer(&replica))
	if err == nil && len(response.GetVerdicts()) != len(sent) {
		err = errors.New("wrong number of verdicts")
	}
	if err != nil {
		c.log.WarnContext(ctx, "a call with likes failed", "error", err, "changes", len(sent), "sent", replica.Addr != nil)
	}
	tracing.End(span, err)
	overloads := 0
	for i, p := range sent {
		verdict := failed(p.change, err, replica.Addr != nil)
		if err == nil {
			verdict = response.GetVerdicts()[i]
		}
		if verdict.GetCode() == statusv1.Code_CODE_OVERLOADED {
			overloads++
		}
		p.verdict <- verdict
	}
	c.gate.Left(len(sent), overloads)
}

// failed is what is known of a change whose call has failed.
func failed(change *blogv1.LikeChange, err error, sent bool) *blogv1.LikeVerdict {
	detail, said := service.Detail(err)
	switch {
	case err == nil:
		return nil
	case said && detail.GetOutcome() == statusv1.Outcome_OUTCOME_NONE:
		verdict := refused(detail.GetCode(), detail.GetRetryAfter().AsDuration())
		verdict.Retryable = detail.GetRetryable()
		return verdict
	case !sent:
		return refused(statusv1.Code_CODE_UNAVAILABLE, unavailableRetry)
	default:
		return unknown(change)
	}
}

// refused is for a change that has gone nowhere, and may come again.
func refused(code statusv1.Code, retry time.Duration) *blogv1.LikeVerdict {
	return &blogv1.LikeVerdict{
		Code: code, Outcome: statusv1.Outcome_OUTCOME_NONE, Retryable: true, RetryAfter: durationpb.New(retry), DecidedAt: timestamppb.Now(),
	}
}

// unknown is for a change that was sent and not answered.
func unknown(change *blogv1.LikeChange) *blogv1.LikeVerdict {
	verdict := refused(statusv1.Code_CODE_OUTCOME_UNKNOWN, unavailableRetry)
	verdict.Outcome, verdict.VoteId = statusv1.Outcome_OUTCOME_UNKNOWN, change.GetIdempotencyKey()
	if verdict.Retryable = change.GetIdempotencyKey() != ""; !verdict.Retryable {
		verdict.RetryAfter = nil
	}
	return verdict
}
