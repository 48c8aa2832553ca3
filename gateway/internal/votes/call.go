package votes

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"

	"github.com/littlevote/littlevote/gateway/internal/spans"
	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/tracing"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// maxCallBytes bounds one call, so that the few votes with many long names never make it too large for the others:
// the vote-service reads 4 MiB, and an answer is at most about twice as long as its vote.
const maxCallBytes = 1 << 20

// run is given one batch, every vote of which gets an answer. It waits for that, but not for ever: a vote-service that
// hangs must not hold up the votes that another one can decide. Only where later calls are answered, though: otherwise
// all are slow, and more calls at once would make each smaller and none faster.
func (v *Voter) run(_ context.Context, batch []*pending) {
	v.metrics.sizes.Record(v.base, int64(len(batch)))
	number := v.started.Add(1)
	done := make(chan struct{})
	v.sent.Add(int64(len(batch)))
	v.calls.Go(func() {
		defer close(done)
		defer v.sent.Add(-int64(len(batch)))
		ctx, cancel := context.WithTimeout(v.base, v.cfg.Timeout)
		defer cancel()
		v.decide(ctx, batch)
		v.finish(number)
	})
	patience := time.NewTicker(v.cfg.Patience)
	defer patience.Stop()
	for {
		select {
		case <-done:
			return
		case <-patience.C:
		}
		if v.finished.Load() < number {
			continue // nobody has overtaken it
		}
		select {
		case v.detached <- struct{}{}:
			v.calls.Go(func() { <-done; <-v.detached })
		case <-done:
		}
		return
	}
}

// finish remembers the latest of the calls that were answered.
func (v *Voter) finish(number int64) {
	for {
		latest := v.finished.Load()
		if latest >= number || v.finished.CompareAndSwap(latest, number) {
			return
		}
	}
}

// decide sends a batch in as many calls as its size demands: nearly always one.
func (v *Voter) decide(ctx context.Context, batch []*pending) {
	call := make([]*pending, 0, len(batch))
	bytes := 0
	now := time.Now()
	for _, p := range batch {
		if !p.state.CompareAndSwap(waiting, taken) {
			continue // its caller has given up
		}
		if now.Sub(p.queued) > tooOld*v.cfg.MaxWait {
			p.answer(refused(p.vote, statusv1.Code_CODE_OVERLOADED, overloadedRetry, "the vote waited too long to be sent"))
			continue
		}
		spans.Waited(p.span, now.Sub(p.queued))
		size := estimate(p.vote)
		if bytes+size > maxCallBytes && len(call) > 0 {
			v.send(ctx, call)
			call, bytes = call[:0], 0
		}
		call = append(call, p)
		bytes += size
	}
	if len(call) > 0 {
		v.send(ctx, call)
	}
}

// estimate is not less than the encoded size.
func estimate(vote *votev1.Vote) int {
	const fields, perChoice = 192, 16
	size := fields + len(vote.GetBallot()) + len(vote.GetTicket().GetValue()) + len(vote.GetTicket().GetVersion()) +
		len(vote.GetVoterLabel()) + len(vote.GetVoter()) + len(vote.GetTraceparent())
	for _, choice := range vote.GetChoices() {
		size += perChoice + len(choice.GetCandidate())
	}
	return size
}

// send makes one call. Where it fails without an answer the votes that have keys are sent once more.
func (v *Voter) send(ctx context.Context, call []*pending) {
	verdicts, err := v.cast(ctx, call)
	if err == nil {
		answer(call, verdicts)
		return
	}
	var keyed []*pending
	for _, p := range call {
		switch {
		case err.refusal != nil:
			p.answer(refusedWith(p.vote, err.refusal))
		case !err.sent:
			p.answer(refused(p.vote, statusv1.Code_CODE_UNAVAILABLE, unavailableRetry, "no vote-service can be reached"))
		case p.vote.GetIdempotencyKey() != "" && ctx.Err() == nil:
			keyed = append(keyed, p)
		default:
			p.answer(unknown(p.vote, "the call failed without an answer"))
		}
	}
	if len(keyed) == 0 {
		return
	}
	end, _ := ctx.Deadline()
	v.calls.Go(func() {
		ctx, cancel := context.WithDeadline(v.base, end)
		defer cancel()
		v.sendAgain(ctx, keyed)
	})
}

// resendPause is how long votes wait that can't be sent again now: their vote-service may be starting.
const resendPause = 100 * time.Millisecond

// sendAgain sends votes whose first call has no answer: once more, unless that is certain not to have reached a ledger.
// Only good news is believed: the first call may still be on its way, so that a refusal of the second speaks for the
// second alone.
func (v *Voter) sendAgain(ctx context.Context, call []*pending) {
	for {
		verdicts, err := v.cast(ctx, call)
		again := call[:0:0]
		for i, p := range call {
			switch {
			case err == nil && verdicts[i].GetOutcome() == statusv1.Outcome_OUTCOME_COUNTED:
				p.answer(verdicts[i])
			case err == nil && passing(verdicts[i], p.vote.GetNewestTicket()), err != nil && (!err.sent || err.refusal != nil):
				again = append(again, p)
			default:
				p.answer(unknown(p.vote, "the call failed without an answer, and so did the second"))
			}
		}
		if len(again) == 0 {
			return
		}
		if !v.mayRetry(ctx) || !pause(ctx, resendPause) {
			for _, p := range again {
				p.answer(unknown(p.vote, "the call failed without an answer, and no second could be made"))
			}
			return
		}
		call = again
	}
}

func answer(call []*pending, verdicts []*votev1.Verdict) {
	for i, p := range call {
		p.answer(verdicts[i])
	}
}

// callError says how a whole call failed.
type callError struct {
	sent    bool                  // it was put on a connection, so anything may have happened
	refusal *statusv1.ErrorDetail // the vote-service's word that nothing happened, or nil
}

// cast makes one call; without an error there is one verdict a vote.
func (v *Voter) cast(ctx context.Context, call []*pending) ([]*votev1.Verdict, *callError) {
	ctx, span := tracing.Batch(ctx, "CastVotes batch", "votes", call, func(p *pending) trace.Span { return p.span })
	verdicts, failure := v.castVotes(ctx, call)
	if failure != nil {
		spans.Came(span, statusv1.Code_CODE_UNAVAILABLE)
	}
	span.End()
	return verdicts, failure
}

func (v *Voter) castVotes(ctx context.Context, call []*pending) ([]*votev1.Verdict, *callError) {
	request := &votev1.CastVotesRequest{Votes: make([]*votev1.Vote, len(call))}
	for i, p := range call {
		request.Votes[i] = p.vote
	}
	var replica peer.Peer // filled in by gRPC once the call has a connection
	started := time.Now()
	response, err := v.client.CastVotes(ctx, request, grpc.Peer(&replica))
	if err == nil && len(response.GetVerdicts()) == len(call) {
		v.gate.Left(len(call), overloads(response.GetVerdicts()))
		return response.GetVerdicts(), nil
	}
	failure := &callError{sent: replica.Addr != nil}
	if err == nil {
		v.log.ErrorContext(ctx, "wrong number of verdicts", "votes", len(call), "verdicts", len(response.GetVerdicts()))
		return nil, failure
	}
	if detail, ok := service.Detail(err); ok && detail.GetOutcome() == statusv1.Outcome_OUTCOME_NONE {
		failure.refusal = detail
	}
	v.log.WarnContext(ctx, "a call with votes failed",
		"error", err, "votes", len(call), "sent", failure.sent, "after", time.Since(started))
	return nil, failure
}

// overloads counts the votes that an overloaded service refused.
func overloads(verdicts []*votev1.Verdict) (n int) {
	for _, verdict := range verdicts {
		if verdict.GetCode() == statusv1.Code_CODE_OVERLOADED {
			n++
		}
	}
	return n
}
