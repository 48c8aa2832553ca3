package reconcile

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// lockKey is the advisory lock of the database: "littlevo" in ASCII.
const lockKey int64 = 0x6c6974746c65766f

// turn is the right to compare. It lasts as long as a connection of its own, which the pool's callers never wait for.
type turn struct {
	pool *pgxpool.Pool
	conn *pgx.Conn
}

// take says whether it is this instance's turn.
func (t *turn) take(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if t.conn != nil {
		if t.conn.Ping(ctx) == nil {
			return true, nil
		}
		t.end()
	}
	conn, err := pgx.ConnectConfig(ctx, t.pool.Config().ConnConfig)
	if err != nil {
		return false, fmt.Errorf("reconcile: connect: %w", err)
	}
	t.conn = conn
	var mine bool
	if err := conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", lockKey).Scan(&mine); err != nil {
		t.end()
		return false, fmt.Errorf("reconcile: take the lock: %w", err)
	}
	if !mine {
		t.end()
	}
	return mine, nil
}

// end leaves the turn to others.
func (t *turn) end() {
	if t.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = t.conn.Close(ctx) // the server notices either way
	t.conn = nil
}
