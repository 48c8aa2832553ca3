package pgledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	modePg    = "pg"
	stateOpen = "open"

	// openLate makes the row of a ballot that was made after OpenPg.
	openLate = `
		INSERT INTO pg_ballots (epoch, ballot, admissions, last_number, fence)
		SELECT $1, b.ballot, coalesce((SELECT max(version) FROM user_votes u WHERE u.ballot = b.ballot), 0), 0, 0
		FROM ballots b WHERE b.ballot = $2
		ON CONFLICT DO NOTHING`

	heldRules = `
		SELECT state, opens_at, closes_at, coalesce(votes_per_voter, 0), coalesce(voter_period_ms, 0), limit_scope = 'candidate', ticketless
		FROM ballots WHERE ballot = $1 FOR SHARE`
)

// pgHeld is a ballot in an epoch in Postgres, locked: nobody else decides votes or mints tickets there until COMMIT,
// and neither the epoch nor the ballot's rules change.
type pgHeld struct {
	clock      time.Time // read with all locks held
	now        time.Time // the same in whole milliseconds, as it is recorded; whatever ends, ends by clock
	admissions int64
	lastNumber int64
	fence      int64
	rules      Ballot // what decides about votes
}

// take begins the transaction and locks, in one round trip.
func (h *pgHeld) take(ctx context.Context, t tx, epoch int64, ballot string) error {
	batch := &pgx.Batch{}
	batch.Queue("begin isolation level read committed")
	batch.Queue("SELECT " + epochColumns + " FROM ledger_epoch e FOR SHARE").QueryRow(func(row pgx.Row) error {
		var e Epoch
		err := row.Scan(e.targets()...)
		if errors.Is(err, pgx.ErrNoRows) || err == nil && (e.Number != epoch || e.Mode != modePg || e.State != stateOpen) {
			return ErrNotOpen
		}
		return err
	})
	found := h.queue(batch, epoch, ballot)
	if err := t.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if *found {
		return nil
	}
	// A ballot that was made after the epoch began.
	batch = &pgx.Batch{}
	batch.Queue(openLate, epoch, ballot)
	found = h.queue(batch, epoch, ballot)
	if err := t.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if !*found {
		return fmt.Errorf("%w: %q", ErrUnknownBallot, ballot)
	}
	return nil
}

// queue locks the ballot's row for one writer, then its rules against change, and reads the clock after that: statements of a
// batch run one after the other.
func (h *pgHeld) queue(batch *pgx.Batch, epoch int64, ballot string) (found *bool) {
	found = new(bool)
	batch.Queue("SELECT admissions, last_number, fence FROM pg_ballots WHERE epoch = $1 AND ballot = $2 FOR UPDATE", epoch, ballot).
		Query(func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, []any{&h.admissions, &h.lastNumber, &h.fence}, func() error {
				*found = true
				return nil
			})
			return err
		})
	batch.Queue(heldRules, ballot).Query(func(rows pgx.Rows) error {
		var period int64
		r := &h.rules
		_, err := pgx.ForEachRow(rows,
			[]any{&r.State, &r.OpensAt, &r.ClosesAt, &r.VotesPerVoter, &period, &r.PerCandidate, &r.Ticketless},
			func() error {
				r.VoterPeriod = time.Duration(period) * time.Millisecond
				return nil
			})
		return err
	})
	batch.Queue("SELECT clock_timestamp()").QueryRow(func(row pgx.Row) error {
		err := row.Scan(&h.clock)
		h.now = h.clock.Truncate(time.Millisecond)
		return err
	})
	return found
}

// open says whether the ballot takes votes.
func (h *pgHeld) open() bool {
	opens, closes := h.rules.OpensAt, h.rules.ClosesAt
	return h.rules.State == stateOpen && (opens == nil || !h.now.Before(*opens)) && (closes == nil || h.clock.Before(*closes))
}
