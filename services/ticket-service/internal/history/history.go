// Package history writes into Postgres which tickets there were, without ever keeping minting waiting.
//
// A ticket that waits to be written is lost with the process; the replica that mints next writes every ticket that it
// finds in use, so that costs at most a successor that nobody ever finds in use.
package history

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/groupcommit"
	"github.com/littlevote/littlevote/libs/redisledger"
)

const (
	maxWaiting   = 10_000 // tickets; with three ballots and 2 s a ticket, an hour and 50 minutes without Postgres
	maxBatch     = 200    // tickets
	retryEvery   = 500 * time.Millisecond
	writeTimeout = 5 * time.Second
	flushTimeout = 3 * time.Second // at the end
)

// Ticket is a ticket of a ballot.
type Ticket struct {
	Ballot string
	redisledger.Ticket
}

// Writer writes tickets in the background.
type Writer struct {
	pool    *pgxpool.Pool
	log     *slog.Logger
	queue   *groupcommit.Queue[Ticket]
	dropped atomic.Int64
}

// NewWriter returns a writer; Run makes it write.
func NewWriter(pool *pgxpool.Pool, log *slog.Logger) *Writer {
	return &Writer{pool: pool, log: log, queue: groupcommit.NewQueue[Ticket](maxWaiting, maxBatch, 0, nil)}
}

// Add queues a ticket, or drops it and logs that when too many wait. The same ticket may come again.
func (w *Writer) Add(ctx context.Context, t Ticket) {
	if err := w.queue.Put(t); err != nil {
		w.log.WarnContext(ctx, "a ticket is missing in the history", "ballot", t.Ballot, "version", t.Version,
			"dropped", w.dropped.Add(1), "error", err)
	}
}

// Run writes until ctx ends, and for a few seconds more what still waits then.
func (w *Writer) Run(ctx context.Context) error {
	var rest []Ticket
	for {
		batch := w.queue.Take(ctx)
		if batch == nil {
			break
		}
		if err := w.retry(ctx, batch); err != nil {
			rest = batch
			break
		}
	}
	w.queue.Close()
	flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	for ; rest != nil || w.queue.Len() > 0; rest = w.queue.TryTake() {
		if err := w.retry(flush, rest); err != nil {
			w.log.WarnContext(ctx, "tickets are missing in the history", "tickets", len(rest)+w.queue.Len(), "error", err)
			return nil
		}
	}
	return nil
}

// retry writes a batch, however often it takes, until ctx ends.
func (w *Writer) retry(ctx context.Context, batch []Ticket) error {
	for told := false; ; told = true {
		err := w.write(ctx, batch)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if !told {
			w.log.WarnContext(ctx, "tickets cannot be written to Postgres now; still trying", "error", err)
		}
		pause(ctx, retryEvery)
	}
}

// write puts a batch into both tables, sorted as the persister sorts, so that neither waits for the other in a circle.
func (w *Writer) write(ctx context.Context, tickets []Ticket) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	slices.SortFunc(tickets, func(a, b Ticket) int {
		return cmp.Or(cmp.Compare(a.Ballot, b.Ballot), cmp.Compare(a.Version, b.Version))
	})
	batch := &pgx.Batch{}
	for _, t := range tickets {
		var ticketCap *int64
		if t.Cap != redisledger.NoCap {
			ticketCap = &t.Cap
		}
		args := []any{t.Ballot, t.Version, t.Value, ticketCap, t.CreatedAt, t.ExpiresAt}
		// The events may have made the row already; used is theirs.
		batch.Queue(`
			INSERT INTO tickets (ballot, version, value, cap, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (ballot, version) DO UPDATE SET value = excluded.value, cap = excluded.cap,
				created_at = excluded.created_at, expires_at = excluded.expires_at`, args...)
		batch.Queue(`
			INSERT INTO ticket_history (ballot, version, value, cap, created_at, expires_at)
			VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`, args...)
	}
	if err := w.pool.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("history: %w", err)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
