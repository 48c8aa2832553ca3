package likes

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/tracing"
	blogv1 "github.com/littlevote/littlevote/proto/gen/littlevote/blog/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

const (
	// unavailableRetry is when to come back where a part is away: a process restarts in about that time.
	unavailableRetry = time.Second
	// retractions bounds the retractions of one call that are on their way at once.
	retractions = 64
)

// decide brings likes and unlikes to the vote-service. Where it does not know the ballot of a tenant that is made, and the
// changes are sent again: they were refused, so nothing happened.
func (s *Service) decide(ctx context.Context, changes []*change) {
	s.send(ctx, changes)
	var homeless []*change
	for _, c := range changes {
		if c.verdict.GetCode() == statusv1.Code_CODE_BALLOT_NOT_FOUND {
			homeless = append(homeless, c)
		}
	}
	if len(homeless) == 0 {
		return
	}
	for _, c := range homeless {
		if c.GetUnlike() { // nobody has ever liked anything there
			c.refuse(statusv1.Code_CODE_NOT_LIKED, "not liked")
		} else {
			c.verdict = nil
		}
	}
	homeless = open(homeless)
	for _, tenant := range tenantsOf(homeless) {
		if err := s.makeBallot(ctx, tenant); err != nil {
			s.log.WarnContext(ctx, "a ballot of likes could not be made", "ballot", ballotOf(tenant), "error", err)
		}
	}
	s.sendUntilKnown(ctx, homeless)
}

// sendUntilKnown waits until every instance of the vote-service knows a ballot that is new.
func (s *Service) sendUntilKnown(ctx context.Context, changes []*change) {
	const patience, pause = 2 * time.Second, 20 * time.Millisecond
	for end := time.Now().Add(patience); len(changes) > 0; {
		s.send(ctx, changes)
		var again []*change
		for _, c := range changes {
			if c.verdict.GetCode() == statusv1.Code_CODE_BALLOT_NOT_FOUND {
				again = append(again, c)
			}
		}
		changes = again
		if time.Now().After(end) || ctx.Err() != nil {
			break
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
	for _, c := range changes {
		c.refuseWith(detailOf(nil), "the ballot of likes could not be made")
	}
}

func (s *Service) send(ctx context.Context, changes []*change) {
	var likes []*change
	var wait sync.WaitGroup
	slots := make(chan struct{}, retractions)
	for _, c := range changes {
		if !c.GetUnlike() {
			likes = append(likes, c)
			continue
		}
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			s.retract(ctx, c)
		})
	}
	if len(likes) > 0 {
		s.cast(ctx, likes)
	}
	wait.Wait()
}

// cast makes votes of likes, all in one call.
func (s *Service) cast(ctx context.Context, likes []*change) {
	request, here := &votev1.CastVotesRequest{Votes: make([]*votev1.Vote, len(likes))}, tracing.Traceparent(ctx)
	for i, c := range likes {
		request.Votes[i] = &votev1.Vote{
			Ballot: ballotOf(c.GetTenant()), Voter: c.GetVoter(), IdempotencyKey: c.GetIdempotencyKey(),
			Choices: []*votev1.Choice{{Candidate: c.GetItem(), Count: 1}}, Traceparent: here,
		}
	}
	var replica peer.Peer // filled in by gRPC once the call has a connection
	response, err := s.backends.Votes.CastVotes(ctx, request, grpc.Peer(&replica))
	if err == nil && len(response.GetVerdicts()) != len(likes) {
		s.log.ErrorContext(ctx, "wrong number of verdicts", "likes", len(likes), "verdicts", len(response.GetVerdicts()))
		response, err = nil, errVerdicts
	}
	for i, c := range likes {
		if err != nil {
			c.failed(err, replica.Addr != nil)
		} else {
			c.decided(response.GetVerdicts()[i])
		}
	}
}

// retract takes the vote back that a like is.
func (s *Service) retract(ctx context.Context, c *change) {
	var replica peer.Peer
	response, err := s.backends.Votes.RetractVote(ctx, &votev1.RetractVoteRequest{
		Ballot: ballotOf(c.GetTenant()), Voter: c.GetVoter(), Candidate: c.GetItem(), IdempotencyKey: c.GetIdempotencyKey(),
	}, grpc.Peer(&replica))
	if err != nil {
		c.failed(err, replica.Addr != nil)
		return
	}
	c.decided(response.GetVerdict())
}

// failed is what is known of a change whose call got no verdict.
func (c *change) failed(err error, sent bool) {
	detail, said := service.Detail(err)
	switch {
	case said && detail.GetOutcome() == statusv1.Outcome_OUTCOME_NONE:
		c.refuseWith(detail, "refused by the vote-service")
	case !sent:
		c.refuseWith(detailOf(nil), "no vote-service can be reached")
	default:
		c.verdict = &blogv1.LikeVerdict{
			Code: statusv1.Code_CODE_OUTCOME_UNKNOWN, Outcome: statusv1.Outcome_OUTCOME_UNKNOWN, Retryable: c.GetIdempotencyKey() != "",
			Detail: "the call failed without an answer", VoteId: c.GetIdempotencyKey(), DecidedAt: timestamppb.Now(),
		}
		if c.verdict.GetRetryable() {
			c.verdict.RetryAfter = durationpb.New(unavailableRetry)
		}
	}
}

// decided puts the verdict on a vote, or on a retraction, into the words of likes.
func (c *change) decided(verdict *votev1.Verdict) {
	c.verdict = &blogv1.LikeVerdict{
		Code: verdict.GetCode(), Outcome: verdict.GetOutcome(), Retryable: verdict.GetRetryable(), RetryAfter: verdict.GetRetryAfter(),
		Detail: verdict.GetDetail(), Token: verdict.GetToken(), VoteId: verdict.GetVoteId(), DecidedAt: verdict.GetDecidedAt(),
	}
	switch code := verdict.GetCode(); {
	case code == statusv1.Code_CODE_VOTER_LIMIT && !c.GetUnlike():
		c.verdict.Code, c.verdict.Detail = statusv1.Code_CODE_ALREADY_LIKED, "liked already"
	case code == statusv1.Code_CODE_VOTE_NOT_FOUND && c.GetUnlike():
		c.verdict.Code, c.verdict.Detail = statusv1.Code_CODE_NOT_LIKED, "not liked"
	case code == statusv1.Code_CODE_OK && len(verdict.GetTotals()) == 1:
		c.verdict.LikeCount = verdict.GetTotals()[0].GetVotes()
	}
}
