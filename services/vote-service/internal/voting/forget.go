package voting

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/redisledger"
)

const (
	// forgetAtOnce is about how many states of voters are looked at per ballot and heartbeat.
	forgetAtOnce = 1000
	// appliedKept is how long a batch's id can be looked up at least: what is older, and from before the moment that the
	// persister has come to, is applied.
	appliedKept = 24 * time.Hour
)

// forget drops the states of voters that Redis need not keep, until ctx ends: of candidates that are no longer hot, and of
// periods that are over. No job moves that border: what is cold by the clock is looked up.
func (e *Engine) forget(ctx context.Context) {
	ticker := time.NewTicker(e.cfg.Refresh)
	defer ticker.Stop()
	cursors := map[string]uint64{}
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := e.forgetSome(ctx, cursors)
		if err != nil && ctx.Err() == nil && !failing {
			e.Log.WarnContext(ctx, "voters that Redis need not know are kept for now; still trying", "error", err)
		}
		failing = err != nil
	}
}

// forgetSome looks at some states of each ballot that has such, from where the last look ended.
func (e *Engine) forgetSome(ctx context.Context, cursors map[string]uint64) error {
	ledger, ok := e.Epochs.Current()
	if !ok || ledger.Mode != epoch.Redis {
		return nil
	}
	for _, b := range e.ballots.all() {
		if r := b.now.Load(); r.HotFor == 0 && r.VoterPeriod == 0 {
			continue
		}
		cold, next, err := e.Redis.ColdVoters(ctx, ledger.Fence(), b.name, cursors[b.name], forgetAtOnce)
		if err != nil {
			return fmt.Errorf("ballot %s: %w", b.name, err)
		}
		cursors[b.name] = next
		if cold, err = e.applied(ctx, b, cold); err != nil {
			return fmt.Errorf("ballot %s: %w", b.name, err)
		}
		gone, err := e.Redis.EvictVoters(ctx, ledger.Fence(), b.name, cold)
		if err != nil {
			return fmt.Errorf("ballot %s: %w", b.name, err)
		}
		e.forgotten.Add(gone)
	}
	return nil
}

// applied keeps those states whose last batch Postgres has applied.
func (e *Engine) applied(ctx context.Context, b *ballot, cold []redisledger.ColdVoter) ([]redisledger.ColdVoter, error) {
	if len(cold) == 0 {
		return nil, nil
	}
	looked := time.Now()
	keys, err := e.Store.Lookup(ctx, b.name, nil)
	if err != nil {
		return nil, err
	}
	ids := make([]uuid.UUID, len(cold))
	for i, c := range cold {
		ids[i] = c.Batch
	}
	applied, _, err := e.Store.BatchApplied(ctx, ids)
	if err != nil {
		return nil, err
	}
	var old time.Time
	if keys.Lag < maxLookUpLag {
		old = looked.Add(-keys.Lag - appliedKept)
	}
	kept := cold[:0]
	for _, c := range cold {
		if c.Batch == uuid.Nil || applied[c.Batch] || madeAt(c.Batch).Before(old) {
			kept = append(kept, c)
		}
	}
	return kept, nil
}

// madeAt is the time that a UUIDv7 tells.
func madeAt(id uuid.UUID) time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(id[:8]) >> 16))
}
