package pgledger

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Errors of Apply, Cast, MintTicket and Certify. None of them has had an effect.
var (
	// ErrNoEpoch: no epoch was ever opened. Wait.
	ErrNoEpoch = errors.New("pgledger: no epoch is open yet")
	// ErrNotOpen: the epoch that the caller believes in is not the open one, or not in the mode that the call needs.
	ErrNotOpen = errors.New("pgledger: the epoch is not open")
	// ErrSealed: the epoch is about to be replaced, in a moment. Retry.
	ErrSealed = errors.New("pgledger: the epoch is sealed")
	// ErrZombie: an offset is not where the caller believes it is, so another process moved it. Read the offsets again.
	ErrZombie = errors.New("pgledger: another process has moved the offset")
	// ErrFutureEpoch: a batch of an epoch that was never opened here. Must not happen: stop and alarm.
	ErrFutureEpoch = errors.New("pgledger: batch of a future epoch")
	// ErrUnknownBallot: a batch of a ballot without a row. Must not happen: stop and alarm.
	ErrUnknownBallot = errors.New("pgledger: batch of an unknown ballot")
	// ErrKeyConflict: an idempotency key is already taken by another batch. Admission must not have let it through: stop
	// and alarm.
	ErrKeyConflict = errors.New("pgledger: idempotency key belongs to another batch")
)

// Permanent says that applying the same batches again can't help.
func Permanent(err error) bool {
	if errors.Is(err, ErrFutureEpoch) || errors.Is(err, ErrUnknownBallot) || errors.Is(err, ErrKeyConflict) {
		return true
	}
	var pg *pgconn.PgError
	// Data exceptions and broken constraints.
	return errors.As(err, &pg) && (strings.HasPrefix(pg.Code, "22") || strings.HasPrefix(pg.Code, "23"))
}

// CommitUnknown says that COMMIT was sent and its reply is missing or says nothing definite: the transaction may be
// committed, and if it is not, it may still be in a moment.
func CommitUnknown(err error) bool {
	var unknown *CommitUnknownError
	return errors.As(err, &unknown)
}

// CommitUnknownError is the error of a COMMIT that got no definite answer.
type CommitUnknownError struct{ Cause error }

// Error implements error.

func (e *CommitUnknownError) Error() string {
	return fmt.Sprintf("pgledger: unknown whether the transaction was committed: %v", e.Cause)
}

func (e *CommitUnknownError) Unwrap() error { return e.Cause }

// commit ends a transaction. It decides by itself whether COMMIT was sent: pgx 5.12 says of a reply that was lost that
// it is safe to retry.
func commit(ctx context.Context, conn *pgx.Conn) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("commit was not sent: %w", err)
	}
	if conn.IsClosed() {
		return errors.New("commit was not sent: the connection is closed")
	}
	tag, err := conn.Exec(ctx, "commit")
	if err == nil && tag.String() != "COMMIT" {
		return fmt.Errorf("commit was refused: the server answered %s", tag)
	}
	if err == nil {
		return nil
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return &CommitUnknownError{err}
	}
	// Only an ERROR aborts the transaction for sure. A FATAL, such as a shutdown, may arrive after the commit itself, while
	// the server waits for its replicas. The two codes are what distributed databases say when they don't know.
	if pg.SeverityUnlocalized == "ERROR" && pg.Code != "40003" && pg.Code != "08007" {
		return fmt.Errorf("commit was refused: %w", err)
	}
	return &CommitUnknownError{err}
}

// retriable are a deadlock and a serialisation failure that the server has undone.
func retriable(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && !CommitUnknown(err) && (pg.Code == "40P01" || pg.Code == "40001")
}
