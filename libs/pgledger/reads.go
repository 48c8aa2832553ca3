package pgledger

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Tally is a row of user_votes.
type Tally struct {
	Username  string
	Votes     int64
	Version   int64
	UpdatedAt time.Time
}

// Tallies reads the counts of a ballot, by name; no names means all. Whoever was never voted for has no row.
func Tallies(ctx context.Context, db DB, ballot string, names []string) ([]Tally, error) {
	rows, err := db.Query(ctx, `
		SELECT username, votes, version, updated_at FROM user_votes
		WHERE ballot = $1 AND ($2::text[] IS NULL OR username = ANY ($2)) ORDER BY username COLLATE "C"`, ballot, names)
	if err != nil {
		return nil, fmt.Errorf("read tallies: %w", err)
	}
	tallies, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Tally])
	if err != nil {
		return nil, fmt.Errorf("read tallies: %w", err)
	}
	return tallies, nil
}

// Ballot is a row of ballots.
type Ballot struct {
	Name           string
	State          string
	Candidates     []string // nil where any name will do
	MaxCandidates  int64
	TicketCap      *int64 // nil where there is none
	TicketInterval time.Duration
	OpensAt        *time.Time
	ClosesAt       *time.Time
	CreatedAt      time.Time
}

// Ballots reads all ballots, by name.
func Ballots(ctx context.Context, db DB) ([]Ballot, error) {
	rows, err := db.Query(ctx, `
		SELECT ballot, state, candidates, max_candidates, ticket_cap, ticket_interval_ms, opens_at, closes_at, created_at
		FROM ballots ORDER BY ballot`)
	if err != nil {
		return nil, fmt.Errorf("read ballots: %w", err)
	}
	ballots, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Ballot, error) {
		var b Ballot
		var intervalMs int64
		err := row.Scan(&b.Name, &b.State, &b.Candidates, &b.MaxCandidates, &b.TicketCap, &intervalMs, &b.OpensAt, &b.ClosesAt, &b.CreatedAt)
		b.TicketInterval = time.Duration(intervalMs) * time.Millisecond
		return b, err
	})
	if err != nil {
		return nil, fmt.Errorf("read ballots: %w", err)
	}
	return ballots, nil
}
