package pgledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Who may see a ballot's counts.
const (
	VisibleAlways     = "always"
	VisibleAfterVote  = "after_vote"  // voters who have a vote that counts; everybody once it is closed
	VisibleAfterClose = "after_close" // everybody once it is closed
	VisibleNever      = "never"       // organisers, once it is certified
)

// Ballot is a row of ballots.
type Ballot struct {
	Name             string // in full: "name" for the default tenant, "tenant.name" for another
	Title            string
	State            string
	Candidates       []string // nil where any name will do that CandidatePattern allows
	CandidatePattern string   // RE2, for a whole name; empty: any
	MaxCandidates    int64
	Ticketless       bool          // votes need no ticket, and there is none
	TicketForm       string        // signed, hmac or uuid
	TicketCap        *int64        // nil where there is none
	TicketInterval   time.Duration // in whole milliseconds, like all durations here
	OpensAt          *time.Time
	ClosesAt         *time.Time
	CreatedAt        time.Time
	VotesPerVoter    int           // 0 where there is no limit
	VoterPeriod      time.Duration // the limit begins anew with each, counted from 1970; 0: it is for life
	PerCandidate     bool          // the limit counts each candidate by itself
	Visibility       string
	HotFor           time.Duration // how long candidates whose name tells their time are hot; 0: none ever is
	RulesVersion     int64         // grows with every change of the row
}

// Tenant is whose ballot it is; empty for the default tenant.
func (b *Ballot) Tenant() string {
	tenant, _, found := strings.Cut(b.Name, ".")
	if !found {
		return ""
	}
	return tenant
}

// Period is the number of the voter period that a moment falls into; 0 where the limit is for life.
func (b *Ballot) Period(at time.Time) int64 {
	if b.VoterPeriod == 0 {
		return 0
	}
	return at.UnixMilli() / b.VoterPeriod.Milliseconds()
}

const ballotColumns = `ballot, title, state, candidates, coalesce(candidate_pattern, ''), max_candidates, ticketless, ticket_form,
	ticket_cap, ticket_interval_ms, opens_at, closes_at, created_at, coalesce(votes_per_voter, 0), coalesce(voter_period_ms, 0),
	limit_scope = 'candidate', visibility, coalesce(hot_for_ms, 0), rules_version`

func scanBallot(row pgx.CollectableRow) (Ballot, error) {
	var b Ballot
	var interval, period, hot int64
	err := row.Scan(&b.Name, &b.Title, &b.State, &b.Candidates, &b.CandidatePattern, &b.MaxCandidates, &b.Ticketless, &b.TicketForm,
		&b.TicketCap, &interval, &b.OpensAt, &b.ClosesAt, &b.CreatedAt, &b.VotesPerVoter, &period,
		&b.PerCandidate, &b.Visibility, &hot, &b.RulesVersion)
	b.TicketInterval = time.Duration(interval) * time.Millisecond
	b.VoterPeriod = time.Duration(period) * time.Millisecond
	b.HotFor = time.Duration(hot) * time.Millisecond
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

// BallotsNamed reads those of the named ballots that there are, in no order.
func BallotsNamed(ctx context.Context, db DB, names []string) ([]Ballot, error) {
	rows, err := db.Query(ctx, "SELECT "+ballotColumns+" FROM ballots WHERE ballot = ANY($1)", names)
	if err != nil {
		return nil, fmt.Errorf("read ballots by name: %w", err)
	}
	ballots, err := pgx.CollectRows(rows, scanBallot)
	if err != nil {
		return nil, fmt.Errorf("read ballots by name: %w", err)
	}
	return ballots, nil
}

// BallotNamed reads one ballot, or returns ErrUnknownBallot.
func BallotNamed(ctx context.Context, db DB, name string) (Ballot, error) {
	rows, err := db.Query(ctx, "SELECT "+ballotColumns+" FROM ballots WHERE ballot = $1", name)
	if err != nil {
		return Ballot{}, fmt.Errorf("read a ballot: %w", err)
	}
	b, err := pgx.CollectExactlyOneRow(rows, scanBallot)
	if errors.Is(err, pgx.ErrNoRows) {
		return Ballot{}, fmt.Errorf("%w: %q", ErrUnknownBallot, name)
	}
	if err != nil {
		return Ballot{}, fmt.Errorf("read a ballot: %w", err)
	}
	return b, nil
}
