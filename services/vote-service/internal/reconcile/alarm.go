package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/littlevote/littlevote/libs/pgledger"
)

// drift is a ballot whose tally in Redis is wrong.
type drift struct {
	ballot string
	differ []difference
}

// endFor tells of drift, and ends the epoch: the next one is loaded from Postgres. If Postgres differs from itself in one of
// those ballots, nobody knows which is right, and a change of epoch would only take evidence away.
func (r *Reconciler) endFor(ctx context.Context, drifted []drift) error {
	if len(drifted) == 0 {
		return nil
	}
	sound := false
	for _, d := range drifted {
		for _, n := range d.differ {
			r.Log.ErrorContext(ctx, "a count in Redis is not what the ledger says", "epoch", r.ledger.Epoch, "ballot", d.ballot,
				"candidate", n.name, "redis", n.redis, "ledger", n.ledger)
		}
		r.metrics.drift.Add(ctx, int64(len(d.differ)))
		sound = sound || len(r.selfBad[d.ballot]) == 0
	}
	if now, open := r.Epochs.Current(); !sound || !open || now != r.ledger {
		return nil
	}
	first := drifted[0].differ[0]
	reason := fmt.Sprintf("counts in Redis drifted, of ballot %s first: %q has %d, the ledger says %d",
		drifted[0].ballot, first.name, first.redis, first.ledger)
	if err := r.End(ctx, reason); err != nil {
		return fmt.Errorf("reconcile: end the epoch: %w", err)
	}
	return nil
}

// compareSelf compares Postgres with itself: all ballots as often as that is cheap, and those whose tally in Redis is wrong
// each time, since what is to be loaded must be right.
func (r *Reconciler) compareSelf(ctx context.Context, names []string, drifted []drift) error {
	started := time.Now()
	if all := !started.Before(r.selfDue); all {
		defer func() { r.selfDue = started.Add(selfShare * time.Since(started)) }()
		r.lookAtTickets(ctx, names)
	} else {
		names = nil
		for _, d := range drifted {
			names = append(names, d.ballot)
		}
	}
	defer r.tellSelf()
	for _, name := range names {
		differ, err := pgledger.SelfCheck(ctx, r.Pool, r.ledger.Epoch, name)
		if err != nil {
			return err
		}
		r.noteSelf(ctx, name, differ)
	}
	return nil
}

// noteSelf remembers what differs in a ballot, and tells of it when it is new.
func (r *Reconciler) noteSelf(ctx context.Context, name string, differ []pgledger.SelfDiff) {
	if len(differ) == 0 {
		delete(r.selfBad, name)
		return
	}
	if slices.Equal(differ, r.selfBad[name]) {
		return
	}
	r.selfBad[name] = differ
	for _, d := range differ {
		r.Log.ErrorContext(ctx, "Postgres disagrees with itself: a count is not what the ledger says; see `littlevote fsck`",
			"epoch", r.ledger.Epoch, "ballot", name, "candidate", d.Username, "count", d.Tally, "ledger", d.Base+d.Ledger)
	}
}

// tellSelf shows what is wrong in Postgres to those who ask.
func (r *Reconciler) tellSelf() {
	count := 0
	for _, differ := range r.selfBad {
		count += len(differ)
	}
	r.metrics.selfDiffers.Store(int64(count))
	if count == 0 {
		r.alarm.Store(nil)
		return
	}
	text := fmt.Sprintf("Postgres disagrees with itself in %d counts, of the ballots %s: `littlevote fsck` says where",
		count, strings.Join(slices.Sorted(maps.Keys(r.selfBad)), ", "))
	r.alarm.Store(&text)
}
