package checker

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Row is a row of the ledger.
type Row struct {
	VoteID    string
	Ballot    string
	Username  string
	Delta     int64
	Ticket    string
	Admission int64
	At        time.Time
	Retracts  string // the vote that is taken back; empty in a vote's own rows
	Voter     string // as authenticated; empty where nobody was
	Void      string // by which void the row takes the vote back; empty where none did
}

// Tally is the count of a candidate.
type Tally struct {
	Ballot   string
	Username string
	Votes    int64
}

// Ticket is what Postgres knows of a ticket. The window is nil for one that only the events have told of.
type Ticket struct {
	Ballot  string
	Version string
	Cap     *int64 // nil where there is none
	Used    int64
	Created *time.Time
	Expires *time.Time
}

// Ledger is what Postgres has, and what voters are shown.
type Ledger struct {
	Rows    []Row
	Tallies []Tally
	Tickets []Ticket
	Voters  []Voter
	Limits  []Limit
	Live    []Tally // of the ballots that somebody asked for, every candidate that has votes
	Liked   []Liked
	Likes   []Tally // how many like an item, as readers are told
	Redis   []Tally // of the same ballots; nil where nobody looked
}

// Voter is what Postgres keeps of a voter's vote.
type Voter struct {
	Ballot    string
	Voter     string
	VoteID    string
	Retracted bool
}

// Limit is how many votes a ballot allows each voter.
type Limit struct {
	Ballot       string
	Votes        int64
	PerCandidate bool
	PeriodMs     int64 // 0: for the ballot's life
	Ticketless   bool
}

// Liked is what a voter is told at the end, of one item.
type Liked struct {
	Ballot string
	Voter  string
	Item   string
	Liked  bool
}

// ReadLedger reads what Postgres has, in one snapshot.
func ReadLedger(ctx context.Context, pool *pgxpool.Pool) (Ledger, error) {
	var l Ledger
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err := pgx.BeginTxFunc(ctx, pool, options, func(tx pgx.Tx) (err error) {
		if l.Rows, err = collect[Row](ctx, tx, `
			SELECT vote_id::text, ballot, username, delta, ticket_version, admission, voted_at,
				coalesce(retracts::text, ''), coalesce(voter_id, ''), coalesce(void_id::text, '')
			FROM vote_logs`); err != nil {
			return err
		}
		if l.Tallies, err = collect[Tally](ctx, tx, "SELECT ballot, username, votes FROM user_votes"); err != nil {
			return err
		}
		if l.Voters, err = collect[Voter](ctx, tx, "SELECT ballot, voter, vote_id::text, retracted FROM voter_votes"); err != nil {
			return err
		}
		l.Limits, err = collect[Limit](ctx, tx, `
			SELECT ballot, votes_per_voter::bigint, limit_scope = 'candidate', coalesce(voter_period_ms, 0), ticketless FROM ballots WHERE votes_per_voter IS NOT NULL`)
		if err != nil {
			return err
		}
		l.Tickets, err = collect[Ticket](ctx, tx, "SELECT ballot, version, cap, used, created_at, expires_at FROM tickets")
		return err
	})
	if err != nil {
		return Ledger{}, fmt.Errorf("read the ledger: %w", err)
	}
	return l, nil
}

func collect[T any](ctx context.Context, tx pgx.Tx, query string) ([]T, error) {
	rows, err := tx.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[T])
}
