package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// The errors that callers tell apart. Any other is of the database.
var (
	ErrExists    = errors.New("store: there is one already")
	ErrNotFound  = errors.New("store: there is none")
	ErrNotAuthor = errors.New("store: another author's")
	ErrKeyReused = errors.New("store: the key was used with other contents")
	ErrVersion   = errors.New("store: another version")
	ErrUnknown   = errors.New("store: whether it was done is not known")
	errNoFreeID  = errors.New("store: every id that was tried is taken")
)

const (
	idsPerMicro = 4 // of 4096 in a millisecond
	idsTried    = 10

	// Postgres's names of what a row breaks.
	foreignKeyViolation = "23503"
	uniqueViolation     = "23505"
)

// Store is the database. It is safe for concurrent use.
type Store struct {
	pool    *pgxpool.Pool
	timeout time.Duration
}

// New returns a store whose statements take at most timeout.
func New(pool *pgxpool.Pool, timeout time.Duration) *Store {
	return &Store{pool: pool, timeout: timeout}
}

// Ping returns nil if the database answers.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return s.pool.Ping(ctx)
}

// FormatID writes an id as everybody outside sees it: 16 decimal digits, whose order as text is that of the numbers.
func FormatID(id int64) string { return fmt.Sprintf("%016d", id) }

// ParseID reads what FormatID writes, and nothing else.
func ParseID(text string) (int64, bool) {
	if len(text) != 16 {
		return 0, false
	}
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return 0, false
		}
	}
	id, err := strconv.ParseInt(text, 10, 64)
	return id, err == nil
}

// withinMicro is the lowest part of a new id.
func withinMicro() int64 { return rand.Int64N(idsPerMicro) }

// writeError tells apart what has not been done from what may have been.
func writeError(what string, err error) error {
	var answered *pgconn.PgError
	if errors.As(err, &answered) || pgconn.SafeToRetry(err) {
		return fmt.Errorf("%s: %w", what, err)
	}
	return fmt.Errorf("%s: %w: %w", what, ErrUnknown, err)
}

func violates(err error, code, constraint string) bool {
	var answered *pgconn.PgError
	return errors.As(err, &answered) && answered.Code == code && answered.ConstraintName == constraint
}
