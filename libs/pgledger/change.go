package pgledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// MaxBallots bounds the ballots of a tenant: every process looks after each.
const MaxBallots = 10_000

// ErrManyBallots says that the tenant has as many ballots as it may.
var ErrManyBallots = errors.New("pgledger: the tenant has too many ballots")

// ballotLock bounds the wait for the table of ballots: whoever waits for it queues up everybody behind.
const ballotLock = 2 * time.Second

// ChangeBallots runs a change of rows in ballots, with the epoch held as it is. It takes the table lock, since a lock on a row
// alone starves behind those who share it: it waits for the votes that are being decided or applied, and keeps others waiting
// until f is done. Whoever changes what a ballot admits adds one to rules_version.
func ChangeBallots(ctx context.Context, pool *pgxpool.Pool, f func(tx pgx.Tx, epoch Epoch) error) error {
	for {
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d", ballotLock.Milliseconds())); err != nil {
				return err
			}
			// The epoch comes first, as everywhere.
			epoch, err := holdEpoch(ctx, tx)
			if err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "LOCK TABLE ballots IN EXCLUSIVE MODE"); err != nil {
				return err
			}
			return f(tx, epoch)
		})
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != "55P03" { // lock_not_available
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w after: %w", ctx.Err(), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// holdEpoch reads the epoch and keeps it as it is until the transaction ends.
func holdEpoch(ctx context.Context, tx pgx.Tx) (Epoch, error) {
	var epoch Epoch
	err := tx.QueryRow(ctx, "SELECT "+epochColumns+" FROM ledger_epoch e FOR SHARE").Scan(epoch.targets()...)
	if errors.Is(err, pgx.ErrNoRows) {
		return Epoch{}, ErrNoEpoch
	}
	return epoch, err
}

// MakeBallot makes a ballot unless there is one of this name, and says whether it did. Where the ballot has no ticket interval,
// and where capOfMain says so of its cap, it takes those that the ballot main has now.
func MakeBallot(ctx context.Context, pool *pgxpool.Pool, b *Ballot, capOfMain bool, by Deed) (made bool, err error) {
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			INSERT INTO ballots (ballot, title, state, candidates, candidate_pattern, ticketless, ticket_cap, ticket_interval_ms,
				opens_at, closes_at, votes_per_voter, voter_period_ms, limit_scope, visibility, hot_for_ms)
			SELECT $1, $2, $3, $4, nullif($5, ''), $6, CASE WHEN $7 THEN m.ticket_cap ELSE $8 END, coalesce(nullif($9::bigint, 0), m.ticket_interval_ms),
				$10, $11, nullif($12, 0), nullif($13::bigint, 0), $14, $15, nullif($16::bigint, 0)
			FROM ballots m WHERE m.ballot = 'main'
			ON CONFLICT DO NOTHING RETURNING `+ballotColumns,
			b.Name, b.Title, b.State, b.Candidates, b.CandidatePattern, b.Ticketless, capOfMain, b.TicketCap, b.TicketInterval.Milliseconds(),
			b.OpensAt, b.ClosesAt, b.VotesPerVoter, b.VoterPeriod.Milliseconds(), scope(b), b.Visibility, b.HotFor.Milliseconds())
		if err != nil {
			return err
		}
		inserted, err := pgx.CollectRows(rows, scanBallot)
		if err != nil || len(inserted) == 0 {
			return err
		}
		var count int
		if err := tx.QueryRow(ctx, "SELECT count(*) FROM ballots WHERE "+ofTenant, b.Tenant()).Scan(&count); err != nil {
			return err
		}
		if count > MaxBallots {
			return ErrManyBallots
		}
		made = true
		return by.record(ctx, tx, b.Name, inserted[0].facts())
	})
	if err != nil {
		return false, fmt.Errorf("make ballot %s: %w", b.Name, err)
	}
	return made, nil
}

func scope(b *Ballot) string {
	if b.PerCandidate {
		return "candidate"
	}
	return "ballot"
}

// ChangeBallot changes a ballot's row as change does, given the clock of Postgres, and returns the row as it is then, and the
// epoch during that. If nothing is another than it was, nothing is written. A certified ballot is never changed.
func ChangeBallot(
	ctx context.Context, pool *pgxpool.Pool, name string, by Deed, change func(tx pgx.Tx, b *Ballot, now time.Time) error,
) (b Ballot, epoch Epoch, err error) {
	err = ChangeBallots(ctx, pool, func(tx pgx.Tx, now Epoch) error {
		before, err := BallotNamed(ctx, tx, name)
		if err != nil {
			return err
		}
		var clock time.Time
		if err := tx.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&clock); err != nil {
			return err
		}
		b, epoch = before, now
		b.Candidates = slices.Clone(before.Candidates)
		if err := change(tx, &b, clock); err != nil {
			return err
		}
		details := differenceOf(&before, &b)
		if len(details) > 0 {
			b.RulesVersion = before.RulesVersion + 1
			if err := by.record(ctx, tx, name, details); err != nil {
				return err
			}
		}
		if b.RulesVersion == before.RulesVersion {
			return nil
		}
		return saveBallot(ctx, tx, &b)
	})
	return b, epoch, err
}

func saveBallot(ctx context.Context, tx pgx.Tx, b *Ballot) error {
	tag, err := tx.Exec(ctx, `
		UPDATE ballots SET title = $2, state = $3, candidates = $4, candidate_pattern = nullif($5, ''), ticketless = $6, ticket_cap = $7,
			ticket_interval_ms = $8, opens_at = $9, closes_at = $10, votes_per_voter = nullif($11, 0),
			voter_period_ms = nullif($12::bigint, 0), limit_scope = $13, visibility = $14, hot_for_ms = nullif($15::bigint, 0),
			rules_version = $16
		WHERE ballot = $1 AND state <> 'certified'`,
		b.Name, b.Title, b.State, b.Candidates, b.CandidatePattern, b.Ticketless, b.TicketCap, b.TicketInterval.Milliseconds(),
		b.OpensAt, b.ClosesAt, b.VotesPerVoter, b.VoterPeriod.Milliseconds(), scope(b), b.Visibility, b.HotFor.Milliseconds(),
		b.RulesVersion)
	if err != nil {
		return fmt.Errorf("change ballot %s: %w", b.Name, err)
	}
	if tag.RowsAffected() != 1 {
		return fmt.Errorf("change ballot %s: it is certified", b.Name)
	}
	return nil
}

// TenantBallots returns a page of a tenant's ballots by name: those after a full name.
func TenantBallots(ctx context.Context, db DB, tenant, after string, limit int) ([]Ballot, error) {
	rows, err := db.Query(ctx, `
		SELECT `+ballotColumns+` FROM ballots WHERE `+ofTenant+` AND ballot COLLATE "C" > $2 ORDER BY ballot COLLATE "C" LIMIT $3`,
		tenant, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list ballots: %w", err)
	}
	ballots, err := pgx.CollectRows(rows, scanBallot)
	if err != nil {
		return nil, fmt.Errorf("list ballots: %w", err)
	}
	return ballots, nil
}

// HasVotes says whether any of the candidates was ever voted for.
func HasVotes(ctx context.Context, db DB, ballot string, candidates []string) (bool, error) {
	var has bool
	err := db.QueryRow(ctx, "SELECT EXISTS (SELECT FROM user_votes WHERE ballot = $1 AND username = ANY ($2::text[]))",
		ballot, candidates).Scan(&has)
	if err != nil {
		return false, fmt.Errorf("look up votes: %w", err)
	}
	return has, nil
}
