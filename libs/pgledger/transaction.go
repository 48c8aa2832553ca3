package pgledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/littlevote/littlevote/libs/faultpoint"
)

// transaction is one attempt of Apply. The order of its steps is the order of its locks.
type transaction struct {
	conn   *pgx.Conn
	batch  Batch
	result Result
	fresh  []Event // the events that take effect
	lost   []Event // those that never will, and have a record to keep
	states map[string]string
}

func (t *transaction) run(ctx context.Context, conn tx) error {
	t.conn = conn
	if err := t.begin(ctx); err != nil {
		return err
	}
	if len(t.batch.Events) > 0 {
		if err := t.judge(); err != nil {
			return err
		}
		if err := t.claimIDs(ctx); err != nil {
			return err
		}
		if err := t.findApplied(ctx); err != nil {
			return err
		}
	}
	if len(t.fresh) > 0 {
		rows, err := copyRows(ctx, t.conn, t.fresh)
		if err != nil {
			return err
		}
		t.result.Rows = rows
	}
	if err := t.hotRows(ctx); err != nil {
		return err
	}
	if len(t.batch.Offsets) > 0 {
		faultpoint.Hit("persist.before-commit")
	}
	return nil
}

// begin locks the epoch and the ballots against change, in one round trip with BEGIN.
func (t *transaction) begin(ctx context.Context) error {
	batch := &pgx.Batch{}
	batch.Queue("begin isolation level read committed")
	if len(t.batch.Events) > 0 {
		t.states = map[string]string{}
		batch.Queue("SELECT " + epochColumns + " FROM ledger_epoch e FOR SHARE").QueryRow(func(row pgx.Row) error {
			err := row.Scan(t.result.Epoch.targets()...)
			if errors.Is(err, pgx.ErrNoRows) {
				return ErrNoEpoch
			}
			return err
		})
		batch.Queue("SELECT ballot, state FROM ballots WHERE ballot = ANY ($1::text[]) ORDER BY ballot FOR KEY SHARE",
			t.ballots()).Query(func(rows pgx.Rows) error {
			var ballot, state string
			_, err := pgx.ForEachRow(rows, []any{&ballot, &state}, func() error {
				t.states[ballot] = state
				return nil
			})
			return err
		})
	}
	if err := t.conn.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	return nil
}

func (t *transaction) ballots() []string {
	var names []string
	for _, e := range t.batch.Events {
		if !slices.Contains(names, e.GetBallot()) {
			names = append(names, e.GetBallot())
		}
	}
	return names
}

// judge gives each batch the verdict that follows from its epoch and ballot; Applied is provisional.
func (t *transaction) judge() error {
	epoch := t.result.Epoch
	if epoch.State == "sealed" {
		return ErrSealed
	}
	t.result.Verdicts = make([]Verdict, len(t.batch.Events))
	for i, e := range t.batch.Events {
		state, known := t.states[e.GetBallot()]
		switch {
		case e.GetEpoch() > epoch.Number:
			return fmt.Errorf("%w: batch %s of epoch %d, the epoch is %d", ErrFutureEpoch, e.ID(), e.GetEpoch(), epoch.Number)
		case e.Lost != 0:
			t.result.Verdicts[i] = e.Lost
		case e.GetEpoch() < epoch.Number && !faultpoint.Mutant("apply-ignores-epoch"):
			t.result.Verdicts[i] = EpochOver
		case !known:
			return fmt.Errorf("%w: batch %s of ballot %q", ErrUnknownBallot, e.ID(), e.GetBallot())
		case state == "certified" && !faultpoint.Mutant("apply-ignores-certified"):
			t.result.Verdicts[i] = Certified
		default:
			t.result.Verdicts[i] = Applied
		}
	}
	return nil
}

// claimIDs inserts the ids of the batches that may take effect. An id that another transaction has inserted and not yet
// committed makes it wait for that one.
func (t *transaction) claimIDs(ctx context.Context) error {
	var ids [][16]byte // pgx would write a uuid.UUID as text first
	for i, e := range t.batch.Events {
		if t.result.Verdicts[i] == Applied {
			ids = append(ids, e.ID())
		}
	}
	if len(ids) == 0 {
		return nil
	}
	slices.SortFunc(ids, func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) })
	rows, err := t.conn.Query(ctx, `
		INSERT INTO applied_batches (batch_id, epoch) SELECT id, $2 FROM unnest($1::uuid[]) AS id
		ON CONFLICT DO NOTHING RETURNING batch_id`, ids, t.result.Epoch.Number)
	if err != nil {
		return fmt.Errorf("insert batch ids: %w", err)
	}
	inserted, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
	if err != nil {
		return fmt.Errorf("insert batch ids: %w", err)
	}
	mine := make(map[[16]byte]bool, len(inserted))
	for _, id := range inserted {
		mine[id] = true
	}
	for i, e := range t.batch.Events {
		if t.result.Verdicts[i] != Applied {
			continue
		}
		if mine[e.ID()] || faultpoint.Mutant("no-batch-ids") {
			delete(mine, e.ID()) // the same batch may stand in two of the records
			t.fresh = append(t.fresh, e)
		} else {
			t.result.Verdicts[i] = Duplicate
		}
	}
	return nil
}

// findApplied looks whether batches that come too late had taken effect in time: those are duplicates, not lost.
func (t *transaction) findApplied(ctx context.Context) error {
	var late [][16]byte
	for i, e := range t.batch.Events {
		if v := t.result.Verdicts[i]; v == EpochOver || v == Certified {
			late = append(late, e.ID())
		}
	}
	if len(late) == 0 {
		return nil
	}
	rows, err := t.conn.Query(ctx, "SELECT batch_id FROM applied_batches WHERE batch_id = ANY ($1::uuid[])", late)
	if err != nil {
		return fmt.Errorf("look up late batches: %w", err)
	}
	applied, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
	if err != nil {
		return fmt.Errorf("look up late batches: %w", err)
	}
	for i, e := range t.batch.Events {
		if v := t.result.Verdicts[i]; v != EpochOver && v != Certified {
			continue
		}
		if slices.Contains(applied, [16]byte(e.ID())) {
			t.result.Verdicts[i] = Duplicate
		} else if e.Record != nil {
			e.Lost = t.result.Verdicts[i]
			t.lost = append(t.lost, e)
		}
	}
	return nil
}

// copyRows writes the ledger rows and the keys.
func copyRows(ctx context.Context, conn tx, batches []Event) (rows int, err error) {
	data, rows := encodeRows(batches)
	if err := copyIn(ctx, conn, copyStatement, data); err != nil {
		return 0, fmt.Errorf("copy ledger rows: %w", err)
	}
	keys := encodeKeys(batches)
	if keys == nil {
		return rows, nil
	}
	err = copyIn(ctx, conn, copyKeysStatement, keys)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "23505" {
		return 0, fmt.Errorf("%w: %s", ErrKeyConflict, pg.Detail)
	}
	if err != nil {
		return 0, fmt.Errorf("copy keys: %w", err)
	}
	return rows, nil
}

// hotRows does everything that other transactions wait for, in one round trip, right before COMMIT.
func (t *transaction) hotRows(ctx context.Context) error {
	batch := &pgx.Batch{}
	if len(t.fresh) > 0 {
		s := sum(t.fresh)
		queueVoters(batch, s.voters)
		queueTallies(batch, upsertTallies, s.tallies)
		if faultpoint.Mutant("tally-check") {
			batch.Queue("SELECT 1 / (min(votes) >= 0)::int FROM user_votes WHERE ballot = ANY ($1)", t.ballots())
		}
		queueTickets(batch, s.tickets)
	}
	queueLost(batch, t.lost)
	queueOffsets(batch, t.batch.Offsets)
	if batch.Len() == 0 {
		return nil
	}
	if err := t.conn.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("update: %w", err)
	}
	return nil
}
