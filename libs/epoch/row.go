package epoch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
)

// The states of the row.
const (
	stateOpen   = "open"
	stateEnding = "ending"
)

// modeRedis says that the ledger of the epoch is Redis.
const modeRedis = "redis"

// fenceOf returns the row's ledger in Redis.
func fenceOf(e pgledger.Epoch) redisledger.Fence {
	return redisledger.Fence{Epoch: e.Number, NS: e.NS, ReplID: e.ReplID}
}

// isOpen says that votes are decided in Redis under this row.
func isOpen(e pgledger.Epoch) bool { return e.State == stateOpen && e.Mode == modeRedis }

// lockTimeout bounds the wait for the table lock: those that wait for it queue up every sharer behind them.
const lockTimeout = 2 * time.Second

// locked runs f in a transaction that holds the whole table, since FOR UPDATE on the row alone starves behind
// overlapping sharers. It tries again when the lock is not to be had in time.
func locked(ctx context.Context, pool *pgxpool.Pool, f func(tx pgx.Tx) error) error {
	for {
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d", lockTimeout.Milliseconds()))
			if err != nil {
				return err
			}
			// A load writes to Redis in between.
			_, err = tx.Exec(ctx, fmt.Sprintf("SET LOCAL idle_in_transaction_session_timeout = %d", loadTimeout.Milliseconds()))
			if err != nil {
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
