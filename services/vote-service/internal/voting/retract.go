package voting

import (
	"context"
	"time"

	"github.com/google/uuid"

	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// RetractVote implements VoteServiceHandler. A retraction goes the way of a vote, in batches of its own: it takes no use, and
// counts the negatives of what its vote counts for, which is looked up in the ledger.
func (e *Engine) RetractVote(ctx context.Context, req *votev1.RetractVoteRequest) (*votev1.RetractVoteResponse, error) {
	b, target, err := e.name(req.GetBallot(), req.GetVoteId())
	if err != nil {
		return nil, err
	}
	verdict := &votev1.Verdict{}
	j := &job{verdict: verdict, call: newCall(1)}
	if refused := j.prepare(b, target, req); refused != nil {
		j.refuse(*refused, time.Now())
		return &votev1.RetractVoteResponse{Verdict: verdict}, nil
	}
	e.retract(ctx, j)
	select {
	case <-j.call.done:
		return &votev1.RetractVoteResponse{Verdict: verdict}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// prepare makes the job a retraction, or says what is wrong with the request.
func (j *job) prepare(b *ballot, target uuid.UUID, req *votev1.RetractVoteRequest) *refusal {
	j.vote = vote{ballot: b, voter: req.GetVoter(), retracts: target}
	if r := j.identifyBy(&votev1.Vote{IdempotencyKey: req.GetIdempotencyKey()}); r != nil {
		return r
	}
	if j.voter == "" {
		return invalid("voter: needed")
	}
	if j.id == target {
		return invalid("idempotency_key: another one than the vote's id")
	}
	return j.checkVoter()
}

// retract looks up what the vote counts for, and lets the retraction be decided.
func (e *Engine) retract(ctx context.Context, j *job) {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.Timeout)
	defer cancel()
	found, err := e.findVote(ctx, j.ballot, j.retracts)
	switch {
	case err != nil:
		j.refuse(refusedAway, time.Now())
		return
	case found == nil || found.Voter != j.voter || found.Retracts != uuid.Nil:
		j.refuse(refusedNoVote, time.Now())
		return
	}
	for _, c := range found.Choices {
		j.choices = append(j.choices, &votev1.Choice{Candidate: c.Candidate, Count: -c.Count})
	}
	if j.keyed {
		j.bodyHash = j.hashBody()
	}
	e.enqueue(j)
}
