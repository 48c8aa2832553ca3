package verify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/tools/bench/internal/operation"
	"github.com/littlevote/littlevote/tools/bench/internal/wire"
)

const (
	ballot   = "main"
	margin   = time.Minute // between the clock that admits votes and the one that begins the run
	sessions = 4           // the lag, user_votes and the ledger at once, and one over
)

// Answers counts by what the system tells its clients: getAllUserVotes.
type Answers struct {
	conn    *wire.Conn
	request []byte
}

// NewAnswers asks the endpoint.
func NewAnswers(target wire.Target, timeout time.Duration) *Answers {
	return &Answers{conn: wire.NewConn(target, timeout), request: operation.CountsRequest(target)}
}

// Counts asks once; a connection that the server closed while it was idle is opened again.
func (a *Answers) Counts(ctx context.Context) (Counts, error) {
	answer, err := a.conn.Do(ctx, a.request)
	if errors.Is(err, wire.ErrUnanswered) {
		answer, err = a.conn.Do(ctx, a.request) // a read may be repeated
	}
	if err != nil {
		return nil, fmt.Errorf("getAllUserVotes: %w", err)
	}
	return operation.DecodeCounts(answer)
}

// Close closes the connection.
func (a *Answers) Close() { a.conn.Close() }

// Postgres reads the system's database.
type Postgres struct {
	pool  *pgxpool.Pool
	since time.Time
}

// OpenPostgres connects to a database on this machine.
func OpenPostgres(ctx context.Context, url string) (*Postgres, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("the Postgres URL: %w", err)
	}
	config.MaxConns = sessions
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect to Postgres: %w", err)
	}
	p := &Postgres{pool: pool}
	var now time.Time
	if err := pool.QueryRow(ctx, "SELECT now()").Scan(&now); err != nil {
		pool.Close()
		return nil, fmt.Errorf("ask Postgres the time: %w", err)
	}
	p.since = now.Add(-margin)
	return p, nil
}

// Close closes the connections.
func (p *Postgres) Close() { p.pool.Close() }

// Tallies counts by user_votes.
func (p *Postgres) Tallies() Source { return (*tallies)(p) }

// Ledger counts by vote_logs: what was written since the run began, so that its price follows the run and not the
// table's age.
func (p *Postgres) Ledger() Source { return (*ledger)(p) }

// Total adds up user_votes.
func (p *Postgres) Total(ctx context.Context) (int64, error) {
	var total int64
	const query = "SELECT coalesce(sum(votes), 0)::bigint FROM user_votes WHERE ballot = $1"
	if err := p.pool.QueryRow(ctx, query, ballot).Scan(&total); err != nil {
		return 0, fmt.Errorf("read user_votes: %w", err)
	}
	return total, nil
}

type tallies Postgres

func (t *tallies) Counts(ctx context.Context) (Counts, error) {
	return counts(ctx, t.pool, "SELECT username, votes FROM user_votes WHERE ballot = $1", ballot)
}

type ledger Postgres

func (l *ledger) Counts(ctx context.Context) (Counts, error) {
	const query = "SELECT username, sum(delta)::bigint FROM vote_logs WHERE ballot = $1 AND voted_at >= $2 GROUP BY username"
	return counts(ctx, l.pool, query, ballot, l.since)
}

func counts(ctx context.Context, pool *pgxpool.Pool, query string, args ...any) (Counts, error) {
	rows, err := pool.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("count in Postgres: %w", err)
	}
	found := Counts{}
	var name string
	var votes int64
	_, err = pgx.ForEachRow(rows, []any{&name, &votes}, func() error {
		found[name] = votes
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count in Postgres: %w", err)
	}
	return found, nil
}
