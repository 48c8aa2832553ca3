package voting

import (
	"context"
	"time"

	"connectrpc.com/connect"

	"github.com/littlevote/littlevote/libs/service"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// maxVotes is how many votes one call may carry.
const maxVotes = 1000

// CastVotes implements VoteServiceHandler.
func (e *Engine) CastVotes(ctx context.Context, req *votev1.CastVotesRequest) (*votev1.CastVotesResponse, error) {
	votes := req.GetVotes()
	if len(votes) == 0 || len(votes) > maxVotes {
		return nil, service.Error(connect.CodeInvalidArgument,
			&statusv1.ErrorDetail{Code: statusv1.Code_CODE_INVALID_ARGUMENT, Outcome: statusv1.Outcome_OUTCOME_NONE},
			"votes: 1 to %d", maxVotes)
	}
	verdicts, err := e.castAll(ctx, votes)
	if err != nil {
		return nil, err
	}
	return &votev1.CastVotesResponse{Verdicts: verdicts}, nil
}

// castAll decides the votes of one call; verdicts stand in their order. It returns when all are decided or ctx ends.
func (e *Engine) castAll(ctx context.Context, votes []*votev1.Vote) ([]*votev1.Verdict, error) {
	verdicts := make([]*votev1.Verdict, len(votes))
	space := make([]votev1.Verdict, len(votes))
	jobs := make([]job, len(votes))
	c := newCall(len(votes))
	for i, req := range votes {
		verdicts[i] = &space[i]
		v, refused := validate(req, e.ballots, e.Keys)
		j := &jobs[i]
		*j = job{vote: v, verdict: verdicts[i], call: c, trace: e.traceVote(req.GetTraceparent())}
		if refused != nil && v.old() {
			e.slow.Go(func() { e.checkAgain(j, req, refused) })
			continue
		}
		e.take(j, refused)
	}
	select {
	case <-c.done:
		e.note(jobs)
		return verdicts, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// take lets a vote be decided, or refuses it.
func (e *Engine) take(j *job, refused *refusal) {
	switch {
	case refused != nil:
		j.refuse(*refused, time.Now())
	case j.replaces:
		e.slow.Go(func() { e.change(j) })
	default:
		e.enqueue(j)
	}
}

// checkAgain checks a vote that was refused by what is known here, by what Postgres says now: on a ballot that is not known, was a
// draft, or may have got another candidate.
func (e *Engine) checkAgain(j *job, req *votev1.Vote, before *refusal) {
	ctx, cancel := context.WithTimeout(j.in(e.ctx), e.cfg.Timeout)
	defer cancel()
	if refused := e.renew(ctx, ballotOf(req)); refused != nil {
		if j.unlisted {
			refused = before
		}
		j.refuse(*refused, time.Now())
		return
	}
	var refused *refusal
	j.vote, refused = validate(req, e.ballots, e.Keys)
	e.take(j, refused)
}
