package epoch

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
)

// Watcher follows the row without taking part: for a process whose old belief does no harm, since the ledger that it
// names refuses it.
type Watcher struct {
	pool      *pgxpool.Pool
	heartbeat time.Duration
	log       *slog.Logger
	row       atomic.Pointer[pgledger.Epoch]
	kick      chan struct{}
}

// NewWatcher returns a watcher that knows nothing until Run has read the row.
func NewWatcher(pool *pgxpool.Pool, heartbeat time.Duration, log *slog.Logger) *Watcher {
	return &Watcher{pool: pool, heartbeat: heartbeat, log: log, kick: make(chan struct{}, 1)}
}

// Current returns the ledger of the open epoch; ok is false if none is known to be open.
func (w *Watcher) Current() (f redisledger.Fence, ok bool) {
	r := w.row.Load()
	if r == nil || !isOpen(*r) {
		return redisledger.Fence{}, false
	}
	return fenceOf(*r), true
}

// Suspect asks for a look at the row at once.
func (w *Watcher) Suspect() {
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

// Run follows the row until ctx ends. While Postgres is away the last row stays.
func (w *Watcher) Run(ctx context.Context) error {
	ticker := time.NewTicker(w.heartbeat)
	defer ticker.Stop()
	failed := false
	for {
		row, err := pgledger.CurrentEpoch(ctx, w.pool)
		switch {
		case errors.Is(err, pgledger.ErrNoEpoch):
		case err == nil:
			w.row.Store(&row)
		case ctx.Err() == nil && !failed:
			w.log.WarnContext(ctx, "the epoch could not be read", "error", err)
		}
		failed = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-w.kick:
		}
	}
}
