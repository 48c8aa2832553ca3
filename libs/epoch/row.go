package epoch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/redisledger"
)

// The states of the row.
const (
	stateOpen   = "open"
	stateEnding = "ending"
)

// modeRedis says that the ledger of the epoch is Redis.
const modeRedis = "redis"

// Row is ledger_epoch.
type Row struct {
	Epoch      int64
	Mode       string
	State      string
	NS         string
	ReplID     string
	Replicated bool // Redis had a replica when the epoch was loaded
}

// Fence names the row's ledger in Redis.
func (r Row) Fence() redisledger.Fence {
	return redisledger.Fence{Epoch: r.Epoch, NS: r.NS, ReplID: r.ReplID}
}

// Open says that votes are decided in Redis under this row.
func (r Row) Open() bool { return r.State == stateOpen && r.Mode == modeRedis }

const rowColumns = "epoch, mode, state, ns, replid, replicated"

func scanRow(row pgx.Row) (Row, error) {
	var r Row
	err := row.Scan(&r.Epoch, &r.Mode, &r.State, &r.NS, &r.ReplID, &r.Replicated)
	return r, err
}

// Read returns the row; ok is false when there is none yet.
func Read(ctx context.Context, pool *pgxpool.Pool) (r Row, ok bool, err error) {
	r, err = scanRow(pool.QueryRow(ctx, "SELECT "+rowColumns+" FROM ledger_epoch"))
	if errors.Is(err, pgx.ErrNoRows) {
		return Row{}, false, nil
	}
	if err != nil {
		return Row{}, false, fmt.Errorf("epoch: read: %w", err)
	}
	return r, true, nil
}

// lockTimeout bounds the wait for the table lock: those that wait for it queue up every sharer behind them.
const lockTimeout = 2 * time.Second

// locked runs f in a transaction that holds the whole table, since FOR UPDATE on the row alone starves behind
// overlapping sharers. It tries again when the lock is not to be had in time.
func locked(ctx context.Context, pool *pgxpool.Pool, f func(tx pgx.Tx) error) error {
	for {
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d", lockTimeout.Milliseconds())); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "LOCK TABLE ledger_epoch IN EXCLUSIVE MODE"); err != nil {
				return err
			}
			return f(tx)
		})
		var pg *pgconn.PgError
		if errors.As(err, &pg) && pg.Code == "55P03" { // lock_not_available
			if err := pause(ctx, 100*time.Millisecond); err != nil {
				return err
			}
			continue
		}
		return err
	}
}

// pause waits, or returns ctx's error.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
