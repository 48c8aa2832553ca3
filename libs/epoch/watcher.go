package epoch

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/littlevote/littlevote/libs/pgledger"
)

// lookTimeout bounds one look at the row.
const lookTimeout = 2 * time.Second

// Watcher follows the row without taking part: for a process whose old belief does no harm, since the ledger that it
// names refuses it.
type Watcher struct {
	store     Store
	heartbeat time.Duration
	log       *slog.Logger
	row       atomic.Pointer[pgledger.Epoch]
	kick      chan struct{}
}

// NewWatcher returns a watcher that knows nothing until Run has read the row.
func NewWatcher(store Store, heartbeat time.Duration, log *slog.Logger) *Watcher {
	return &Watcher{store: store, heartbeat: heartbeat, log: log, kick: make(chan struct{}, 1)}
}

// Current returns the ledger of the open epoch; ok is false if none is known to be open.
func (w *Watcher) Current() (l Ledger, ok bool) {
	r := w.row.Load()
	if r == nil || !isOpen(*r) {
		return Ledger{}, false
	}
	return ledgerOf(*r), true
}

// Suspect asks for a look at the row at once.
func (w *Watcher) Suspect() {
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

// Run follows the row until ctx ends, closely while no epoch is open. While Postgres is away the last row stays.
func (w *Watcher) Run(ctx context.Context) error {
	failed := false
	for {
		row, err := w.look(ctx)
		switch {
		case errors.Is(err, pgledger.ErrNoEpoch):
		case err == nil:
			w.row.Store(&row)
		case ctx.Err() == nil && !failed:
			w.log.WarnContext(ctx, "the epoch could not be read", "error", err)
		}
		failed = err != nil
		// A kick may come with every call that fails.
		if pause(ctx, min(w.heartbeat, impatience)/4) != nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(w.pause()):
		case <-w.kick:
		}
	}
}

// look gives up on a server that hangs, since another may have taken its place.
func (w *Watcher) look(ctx context.Context) (pgledger.Epoch, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	return w.store.Current(ctx)
}

func (w *Watcher) pause() time.Duration {
	if _, ok := w.Current(); ok {
		return w.heartbeat
	}
	return min(w.heartbeat, impatience)
}
