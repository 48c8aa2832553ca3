package reconcile

import (
	"context"
	"slices"
	"strings"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
)

// look takes in who is alive, and what the cuts of a round say. It is for people only: what can't be asked for is left as it was.
func (r *Reconciler) look(ctx context.Context, cuts map[string]redisledger.Cut) {
	next := r.sight()
	if alive, err := pgledger.Alive(ctx, r.Pool); err == nil {
		next.alive = alive
	}
	next.lag = nil
	if lag, ok, err := pgledger.Lag(ctx, r.Pool); err == nil && ok {
		next.lag = &lag
	}
	if cuts != nil {
		next.votes, next.outbox = map[string]int64{}, map[string]int64{}
		for name, cut := range cuts {
			next.outbox[name], next.votes[name] = int64(len(cut.Waiting)), 0
			for _, n := range cut.Tally {
				next.votes[name] += n
			}
		}
	}
	r.metrics.seen.Store(&next)
}

// lookAtTickets takes in what is asked for less often, since it reads whole tables.
func (r *Reconciler) lookAtTickets(ctx context.Context, names []string) {
	next := r.sight()
	if over, err := pgledger.Overspent(ctx, r.Pool); err == nil {
		for _, name := range names {
			over[name] += 0 // shown as 0
		}
		r.tellOverspent(ctx, next.overspent, over)
		next.overspent = over
	}
	if r.ledger.Mode == epoch.Postgres {
		if votes, err := pgledger.VotesByBallot(ctx, r.Pool); err == nil {
			next.votes, next.outbox = votes, nil
		}
	}
	r.metrics.seen.Store(&next)
}

// sight is a copy of what was seen last.
func (r *Reconciler) sight() sight {
	if seen := r.metrics.seen.Load(); seen != nil {
		return *seen
	}
	return sight{}
}

// tellOverspent says what must never be, when it is new.
func (r *Reconciler) tellOverspent(ctx context.Context, before, now map[string]int64) {
	for name, uses := range now {
		if uses > before[name] {
			r.Log.ErrorContext(ctx, "tickets were used beyond their caps; see `littlevote fsck`", "ballot", name, "uses", uses)
		}
	}
}

// overspent says which ballots have used tickets beyond their caps; empty if none has.
func (r *Reconciler) overspent() string {
	var names []string
	for name, uses := range r.sight().overspent {
		if uses > 0 {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	return "tickets were used beyond their caps on the ballots " + strings.Join(names, ", ") + ": `littlevote fsck` says which"
}
