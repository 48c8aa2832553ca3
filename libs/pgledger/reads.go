package pgledger

import (
	"context"
	"encoding/binary"
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

// tokenKept is how long a batch id is looked for in applied_batches, which keeps it for a day beyond the topic's retention
// at least; an acknowledged batch is applied or in the log long before.
const tokenKept = "1 day"

// TalliesAt is Tallies with the row of ledger_epoch as of the same moment. ok says that the vote with the token, nil for any,
// is in the counts: its batch is applied, or its epoch is over, which ends with everything acknowledged applied. It may
// be asked of a replica. ErrNoEpoch if none was ever opened.
func TalliesAt(ctx context.Context, db DB, ballot string, names []string, atLeast *Token) (
	tallies []Tally, epoch Epoch, ok bool, err error,
) {
	var (
		after int64
		batch [16]byte
		made  time.Time
	)
	if atLeast != nil {
		after, batch = atLeast.Epoch, atLeast.Batch
		made = time.UnixMilli(int64(binary.BigEndian.Uint64(batch[:8]) >> 16))
	}
	rows, err := db.Query(ctx, `
		SELECT `+epochColumns+`, e.epoch > $3 OR EXISTS (SELECT FROM applied_batches WHERE batch_id = $4)
				OR coalesce($5 < (SELECT min(caught_up_at) FROM offsets) - interval '`+tokenKept+`', false),
			u.username, u.votes, u.version, u.updated_at
		FROM ledger_epoch e
		LEFT JOIN user_votes u ON u.ballot = $1 AND ($2::text[] IS NULL OR u.username = ANY ($2))
		ORDER BY u.username COLLATE "C"`, ballot, names, after, batch, made)
	if err != nil {
		return nil, Epoch{}, false, fmt.Errorf("read tallies: %w", err)
	}
	var (
		username       *string
		votes, version *int64
		updated        *time.Time
	)
	tag, err := pgx.ForEachRow(rows, append(epoch.targets(), &ok, &username, &votes, &version, &updated), func() error {
		if username != nil {
			tallies = append(tallies, Tally{*username, *votes, *version, *updated})
		}
		return nil
	})
	if err != nil {
		return nil, Epoch{}, false, fmt.Errorf("read tallies: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return nil, Epoch{}, false, ErrNoEpoch
	}
	return tallies, epoch, ok || atLeast == nil, nil
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
	VotesPerVoter  int   // 0 where there is no limit
	RulesVersion   int64 // grows with every change of the row

	Title            string
	CandidatePattern string // of a whole name, where any name that matches will do; empty where any name will
	Ticketless       bool
	TicketForm       string        // "signed", "hmac" or "uuid"
	VoterPeriod      time.Duration // 0 where the limit per voter is for life
	LimitScope       string        // "ballot" or "candidate"
	Visibility       string        // "always", "after_vote", "after_close" or "never"
	HotFor           time.Duration // 0 where no candidate is hot
}

// ballotColumns are what scanBallot reads.
const ballotColumns = `ballot, state, candidates, max_candidates, ticket_cap, ticket_interval_ms, opens_at, closes_at, created_at,
	coalesce(votes_per_voter, 0), rules_version, title, coalesce(candidate_pattern, ''), ticketless, ticket_form,
	coalesce(voter_period_ms, 0), limit_scope, visibility, coalesce(hot_for_ms, 0)`

func scanBallot(row pgx.CollectableRow) (Ballot, error) {
	var (
		b                              Ballot
		intervalMs, periodMs, hotForMs int64
	)
	err := row.Scan(&b.Name, &b.State, &b.Candidates, &b.MaxCandidates, &b.TicketCap, &intervalMs, &b.OpensAt, &b.ClosesAt,
		&b.CreatedAt, &b.VotesPerVoter, &b.RulesVersion, &b.Title, &b.CandidatePattern, &b.Ticketless, &b.TicketForm,
		&periodMs, &b.LimitScope, &b.Visibility, &hotForMs)
	b.TicketInterval = time.Duration(intervalMs) * time.Millisecond
	b.VoterPeriod = time.Duration(periodMs) * time.Millisecond
	b.HotFor = time.Duration(hotForMs) * time.Millisecond
	return b, err
}

// Ballots reads all ballots, by name.
func Ballots(ctx context.Context, db DB) ([]Ballot, error) {
	rows, err := db.Query(ctx, "SELECT "+ballotColumns+" FROM ballots ORDER BY ballot")
	if err != nil {
		return nil, fmt.Errorf("read ballots: %w", err)
	}
	ballots, err := pgx.CollectRows(rows, scanBallot)
	if err != nil {
		return nil, fmt.Errorf("read ballots: %w", err)
	}
	return ballots, nil
}
