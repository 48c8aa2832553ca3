package votes

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"

	"github.com/littlevote/littlevote/gateway/internal/identity"
	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/tracing"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// maxRetractions bounds those that are on their way: each is a call of its own, beside those that carry votes.
const maxRetractions = 200

// Retract returns the verdict on taking back a vote of the caller; key may be empty. Like a vote it is tried again after a
// refusal for a moment, and, if it has a key, after a call without an answer.
func (v *Voter) Retract(ctx context.Context, ballot, id, key string) *votev1.Verdict {
	ctx, span := tracing.Start(ctx, "retract vote")
	verdict, retries := v.insist(ctx, ballot, id, key)
	return v.decided(span, verdict, retries)
}

// insist returns the verdict, and how often the call was made again.
func (v *Voter) insist(ctx context.Context, ballot, id, key string) (*votev1.Verdict, int) {
	request := &votev1.RetractVoteRequest{Ballot: ballot, Voter: identity.From(ctx).Voter, VoteId: id, IdempotencyKey: key}
	as := &votev1.Vote{IdempotencyKey: key} // whose refusals speak of the retraction
	select {
	case v.retractions <- struct{}{}:
		defer func() { <-v.retractions }()
	default:
		return refused(as, statusv1.Code_CODE_OVERLOADED, overloadedRetry, "too many votes are being retracted"), 0
	}
	ctx, cancel := context.WithTimeout(ctx, v.cfg.Timeout)
	defer cancel()
	end := time.Now().Add(v.cfg.TicketWait)
	lost := false // a call before had no answer, so that only good news is believed
	for retries := 0; ; retries++ {
		verdict, sent := v.retract(ctx, request, as)
		again := passing(verdict, false)
		switch {
		case verdict.GetOutcome() == statusv1.Outcome_OUTCOME_COUNTED:
			return verdict, retries
		case sent && verdict.GetOutcome() == statusv1.Outcome_OUTCOME_UNKNOWN:
			again, lost = key != "" && !lost, true
		}
		if !again || v.closing.Load() || time.Until(end) < resendPause || !v.mayRetry(ctx) || !pause(ctx, resendPause) {
			if lost {
				return unknown(as, "a call failed without an answer"), retries
			}
			return verdict, retries
		}
	}
}

// retract makes one call, and tells whether it was put on a connection.
func (v *Voter) retract(ctx context.Context, request *votev1.RetractVoteRequest, as *votev1.Vote) (*votev1.Verdict, bool) {
	var replica peer.Peer // filled in by gRPC once the call has a connection
	response, err := v.client.RetractVote(ctx, request, grpc.Peer(&replica))
	sent := replica.Addr != nil
	if err == nil && response.GetVerdict() != nil {
		return response.GetVerdict(), sent
	}
	v.log.WarnContext(ctx, "a retraction failed", "error", err, "sent", sent)
	if detail, ok := service.Detail(err); ok && detail.GetOutcome() == statusv1.Outcome_OUTCOME_NONE {
		return refusedWith(as, detail), sent
	}
	if !sent && err != nil {
		return refused(as, statusv1.Code_CODE_UNAVAILABLE, unavailableRetry, "no vote-service can be reached"), sent
	}
	return unknown(as, "the call failed without an answer"), sent
}
