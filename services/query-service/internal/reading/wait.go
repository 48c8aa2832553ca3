package reading

import (
	"context"
	"sync"
	"time"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/pgledger"
)

// patience is how long a fetch waits until Postgres has what it must, or decides votes, or Redis does again: longer than a change of
// epoch takes in which everybody is alive.
const patience = 2 * time.Second

// outlook is what this process believes of the stores.
type outlook struct {
	ledger     epoch.Ledger
	open, away bool
}

func (r *Reader) look() outlook {
	ledger, open := r.epochs.Current()
	return outlook{ledger: ledger, open: open, away: r.epochs.RedisAway()}
}

// wait returns true as soon as it is worth asking the stores again for counts of a moment, false if that takes too long.
func (r *Reader) wait(ctx context.Context, begun time.Time, before outlook) bool {
	for time.Since(begun) < patience && pause(ctx, shortestWait) {
		if r.look() != before || r.applied.reached(ctx, r.Stores, begun) {
			return true
		}
	}
	return false
}

// watermark is how far Postgres is known to be. However many ballots are read by those who wait, one of them asks at a time.
type watermark struct {
	mu    sync.Mutex
	asked time.Time
	at    time.Time // by the clock here: what was acknowledged before is there
}

// reached says that Postgres has what was acknowledged before a moment; false if it does not, or nobody knows now.
func (w *watermark) reached(ctx context.Context, stores Stores, moment time.Time) bool {
	if !w.mu.TryLock() {
		return false
	}
	defer w.mu.Unlock()
	if w.at.Before(moment) && time.Since(w.asked) >= shortestWait {
		ctx, cancel := context.WithTimeout(ctx, stores.Timeout)
		defer cancel()
		w.asked = time.Now()
		if lag, ok, err := pgledger.Lag(ctx, stores.Primary); err == nil && ok {
			w.at = w.asked.Add(-lag)
		}
	}
	return !w.at.Before(moment)
}
