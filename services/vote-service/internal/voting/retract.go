package voting

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// RetractVote implements VoteServiceHandler. A retraction goes the way of a vote, in batches of its own: it takes no use, and
// counts the negatives of what its vote counts for.
func (e *Engine) RetractVote(ctx context.Context, req *votev1.RetractVoteRequest) (*votev1.RetractVoteResponse, error) {
	var target uuid.UUID
	if req.GetVoteId() != "" || req.GetCandidate() == "" {
		var err error
		if target, err = parseVoteID(req.GetVoteId()); err != nil {
			return nil, err
		}
	}
	b, err := e.ballotNamed(ctx, ballotOf(req))
	if err != nil {
		return nil, err
	}
	verdict := &votev1.Verdict{}
	j := &job{verdict: verdict, call: newCall(1), trace: traceRetraction(ctx)}
	if refused := j.prepare(b, target, req); refused != nil {
		j.refuse(*refused, time.Now())
		return &votev1.RetractVoteResponse{Verdict: verdict}, nil
	}
	if j.last {
		e.retractLast(ctx, j)
	} else {
		e.retract(ctx, j)
	}
	select {
	case <-j.call.done:
		return &votev1.RetractVoteResponse{Verdict: verdict}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// prepare makes the job a retraction, or says what is wrong with the request.
func (j *job) prepare(b *ballot, target uuid.UUID, req *votev1.RetractVoteRequest) *refusal {
	j.vote = vote{ballot: b, rules: b.now.Load(), voter: req.GetVoter(), retracts: target, last: target == uuid.Nil}
	if r := j.identifyBy(&votev1.Vote{IdempotencyKey: req.GetIdempotencyKey()}); r != nil {
		return r
	}
	switch candidate := req.GetCandidate(); {
	case j.voter == "":
		return invalid("voter: needed")
	case j.id == target:
		return invalid("idempotency_key: another one than the vote's id")
	case !j.last && candidate != "":
		return invalid("candidate: this or vote_id")
	case j.last && !j.rules.PerCandidate:
		return invalid("vote_id: needed, unless the ballot limits the votes for each candidate by itself")
	case j.last && !IsName(candidate):
		return invalid("candidate: no name of a candidate")
	}
	if j.last {
		j.choices = []*votev1.Choice{{Candidate: req.GetCandidate(), Count: -1}}
		if j.keyed {
			j.bodyHash = j.hashBody()
		}
	}
	return j.checkVoter()
}

// retract looks up what the vote counts for, and lets the retraction be decided.
func (e *Engine) retract(ctx context.Context, j *job) {
	found := e.findOwn(ctx, j)
	if found == nil {
		return
	}
	j.choices, j.period = negatives(found), j.rules.Period(found.At)
	if j.keyed {
		j.bodyHash = j.hashBody()
	}
	e.enqueue(j)
}

// change looks up what the vote counts for that this one takes the place of, and lets it be decided.
func (e *Engine) change(j *job) {
	if found := e.findOwn(j.in(e.ctx), j); found != nil {
		j.taken = negatives(found)
		e.enqueue(j)
	}
}

// findOwn finds the vote that the job takes back; or answers the job.
func (e *Engine) findOwn(ctx context.Context, j *job) *pgledger.Vote {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.Timeout)
	defer cancel()
	found, err := e.findVote(ctx, j.ballot, j.retracts)
	switch {
	case err != nil:
		j.refuse(refusedAway, time.Now())
	case found == nil || found.Voter != j.voter || found.Retracts != uuid.Nil && !found.Change:
		j.refuse(refusedNoVote, time.Now())
	default:
		return found
	}
	return nil
}

func negatives(v *pgledger.Vote) []*votev1.Choice {
	choices := make([]*votev1.Choice, len(v.Choices))
	for i, c := range v.Choices {
		choices[i] = &votev1.Choice{Candidate: c.Candidate, Count: -c.Count}
	}
	return choices
}

// retractLast looks up which is the voter's last vote for a candidate, and lets its retraction be decided. What it counts for is
// known, so nothing waits for the persister.
func (e *Engine) retractLast(ctx context.Context, j *job) {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.Timeout)
	defer cancel()
	last, err := e.lastVote(ctx, j)
	switch {
	case err != nil:
		j.refuse(refusedAway, time.Now())
		return
	case last == nil && !j.keyed:
		j.refuse(refusedNoVote, time.Now())
		return
	case last == nil:
		// An earlier request with this key may have retracted it: the ledger knows. There is no vote of this id.
		last = &ownVote{id: uuid.New()}
		j.again = true
	}
	j.retracts, j.period = last.id, last.period
	e.enqueue(j)
}

// noVote answers a retraction whose vote does not count: if it was looked up which one that is, another may have come since.
func (e *Engine) noVote(j *job, at time.Time) {
	if !j.last || j.again {
		j.refuse(refusedNoVote, at)
		return
	}
	j.again = true
	e.slow.Go(func() { e.retractLast(j.in(e.ctx), j) })
}

// ownVote is a vote of a voter, and the period that it counts in.
type ownVote struct {
	id     uuid.UUID
	period int64
}

// lastVote asks Redis for the voter's last vote for the job's candidate, and Postgres where Redis does not know; nil: none.
func (e *Engine) lastVote(ctx context.Context, j *job) (*ownVote, error) {
	ledger, ok := e.Epochs.Current()
	if !ok {
		return nil, redisledger.ErrWrongEpoch
	}
	find := func(ctx context.Context) (*pgledger.VoterVote, error) {
		return e.Store.LastVote(ctx, j.ballot.name, j.voter, j.candidate())
	}
	if ledger.Mode == epoch.Redis {
		s, err := e.Redis.VoterState(ctx, ledger.Fence(), j.ballot.name, j.voter, j.candidate())
		if err != nil {
			e.Epochs.Suspect()
			return nil, err
		}
		if n := len(s.Votes); n > 0 {
			return &ownVote{s.Votes[n-1], s.Period}, nil
		}
		if j.rules.VoterPeriod > 0 {
			return e.ownVote(j, func() (*pgledger.VoterVote, error) { return awaitVote(ctx, e, j.ballot, find) })
		}
		if s.Known {
			return nil, nil //nolint:nilnil // none is an answer
		}
	}
	// What Redis does not know no batch of this epoch has touched; or it was applied long ago.
	return e.ownVote(j, func() (*pgledger.VoterVote, error) { return find(ctx) })
}

func (e *Engine) ownVote(j *job, find func() (*pgledger.VoterVote, error)) (*ownVote, error) {
	v, err := find()
	if err != nil || v == nil {
		return nil, err
	}
	return &ownVote{v.ID, j.rules.Period(v.VotedAt)}, nil
}
