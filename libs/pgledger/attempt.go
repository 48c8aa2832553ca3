package pgledger

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// maxAttempts bounds how often a transaction begins again after a deadlock or a serialisation failure.
const maxAttempts = 5

// errNothing ends an attempt that has nothing to commit.
var errNothing = errors.New("pgledger: nothing to commit")

// tx is the connection of an attempt. Its steps send begin by themselves, together with their first statements.
type tx = *pgx.Conn

// step is what an attempt does between connecting and COMMIT.
type step interface {
	run(ctx context.Context, t tx) error
}

// retry runs attempts until one has no retriable error.
func retry(ctx context.Context, attempt func() error) error {
	for n := 1; ; n++ {
		err := attempt()
		if err == nil || !retriable(err) || n == maxAttempts {
			return err
		}
		// Jitter, or the same two transactions meet again.
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w after: %w", ctx.Err(), err)
		case <-time.After(rand.N(time.Duration(n) * 10 * time.Millisecond)):
		}
	}
}

// onConnection is one attempt: a step on a connection of its own, then COMMIT.
func onConnection(ctx context.Context, pool *pgxpool.Pool, s step) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	// A connection that is still inside a transaction is closed by Release, so an early return undoes everything.
	defer conn.Release()
	if err := s.run(ctx, conn.Conn()); err != nil {
		rollback(ctx, conn.Conn())
		if errors.Is(err, errNothing) {
			return nil
		}
		return err
	}
	return commit(ctx, conn.Conn())
}

// rollback leaves the connection usable, for a caller that retries soon.
func rollback(ctx context.Context, conn *pgx.Conn) {
	if conn.IsClosed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	// A failure is of no concern: the server rolls back when the connection is closed.
	_, _ = conn.Exec(ctx, "rollback")
}
