package voting

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/tracing"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// cast decides a batch in an epoch in Postgres: one transaction is its admission, its record and its settlement.
func (e *Engine) cast(n *batch) {
	ctx, cancel := context.WithTimeout(n.ctx, e.cfg.Timeout)
	defer cancel()
	e.track(n)
	defer e.end(n)
	result, err := e.commit(ctx, n)
	if pgledger.CommitUnknown(err) {
		// The same batch again, in the same epoch: if the first one took effect it answers for it.
		n.again++
		result, err = e.commit(ctx, n)
		if err != nil {
			n.refuseAll(unknown, time.Now())
			return
		}
	}
	if err != nil {
		if errors.Is(err, pgledger.ErrNotOpen) {
			e.Epochs.Suspect()
		} else {
			e.Log.WarnContext(ctx, "Postgres did not take a batch", "batch", n.id, "error", err)
		}
		n.refuseAll(refusedAway, time.Now())
		return
	}
	e.durableBy(n, byPostgres)
	for i, v := range result.Verdicts {
		e.answerCast(n, n.jobs[i], v, result.At)
	}
}

func (e *Engine) commit(ctx context.Context, n *batch) (pgledger.CastResult, error) {
	ctx, span := startCommit(ctx, ways[byPostgres])
	result, err := e.Store.Cast(ctx, n.castBatch())
	tracing.End(span, err)
	return result, err
}

func (n *batch) castBatch() pgledger.CastBatch {
	b := pgledger.CastBatch{
		Epoch: n.ledger.Epoch, ID: n.id, Ballot: n.ballot.name, MaxNames: n.request.MaxNames,
		Votes: make([]pgledger.CastVote, len(n.jobs)),
	}
	for i, j := range n.jobs {
		choices := j.deltas()
		v := pgledger.CastVote{
			ID: j.id, Keyed: j.keyed, BodyHash: j.bodyHash, Ticket: j.ticket, Voter: j.voter, Label: j.label,
			Retracts: j.retracts, Replaces: j.replaces,
			Candidates: make([]string, len(choices)), Counts: make([]int64, len(choices)),
		}
		for k, c := range choices {
			v.Candidates[k], v.Counts[k] = c.GetCandidate(), c.GetCount()
		}
		b.Votes[i] = v
	}
	return b
}

// refusals are the answers to the codes of a cast that are final.
var refusals = map[pgledger.CastCode]refusal{
	pgledger.CastExpired:    refusedExpired,
	pgledger.CastSuperseded: refusedSuperseded,
	pgledger.CastExhausted:  refusedExhausted,
	pgledger.CastClosed:     refusedClosed,
	pgledger.CastReused:     refusedReused,
	pgledger.CastAhead:      refusedAhead,
	pgledger.CastNames:      refusedNames,
	pgledger.CastLimit:      refusedLimit,
	pgledger.CastForgotten:  refusedAway,
	// This process does not know the ballot's newest rules yet; when it does, it says what is missing.
	pgledger.CastNoVoter: refusedAway,
	pgledger.CastNotOne:  refusedAway,
}

func (e *Engine) answerCast(n *batch, j *job, v pgledger.CastVerdict, at time.Time) {
	switch v.Code {
	case pgledger.CastOK:
		n.counted++
		var totals []int64
		if len(v.Totals) > 0 {
			totals = v.Totals[len(j.taken):]
		}
		for i, votes := range totals {
			j.ballot.full.note(j.choices[i].GetCandidate(), votes)
		}
		j.succeed(token(n.ledger.Epoch, v.Admission, n.id), j.totals(totals), v.Admission, at)
	case pgledger.CastSame:
		e.slow.Go(func() { e.answerInPostgres(j, v.Batch) })
	case pgledger.CastNoVote:
		e.noVote(j, at)
	default:
		j.refuse(refusals[v.Code], at)
	}
}

// totals pairs the vote's choices with the counts after each; nil if nobody knows those.
func (j *job) totals(counts []int64) []*votev1.Total {
	if len(counts) != len(j.choices) {
		return nil
	}
	totals := make([]*votev1.Total, len(counts))
	for i, c := range j.choices {
		totals[i] = &votev1.Total{Candidate: c.GetCandidate(), Votes: counts[i]}
	}
	return totals
}

// answerInPostgres answers a vote that counts since an earlier request, with the counts of now.
func (e *Engine) answerInPostgres(j *job, id uuid.UUID) {
	ctx, cancel := context.WithTimeout(j.in(e.ctx), e.cfg.Timeout)
	defer cancel()
	names := make([]string, len(j.choices))
	for i, c := range j.choices {
		names[i] = c.GetCandidate()
	}
	rows, err := e.Store.Tallies(ctx, j.ballot.name, names)
	ledger, ok := e.Epochs.Current()
	if err != nil || !ok {
		j.refuse(unknown, time.Now())
		return
	}
	known := make(map[string]int64, len(rows))
	for _, r := range rows {
		known[r.Username] = r.Votes
	}
	counts := make([]int64, len(names))
	for i, name := range names {
		counts[i] = known[name]
	}
	j.same = true
	j.succeed(token(ledger.Epoch, 1, id), j.totals(counts), 0, time.Now())
}
