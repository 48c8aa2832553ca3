package dbmove

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Start makes the target a copy of the source as of one moment, which takes writes from nobody but the second persister group
// and this package. The target must hold no ledger, or again must be set.
func (m *Move) Start(ctx context.Context, again bool) error {
	all, err := m.sameSchema(ctx)
	if err != nil {
		return err
	}
	r, err := readRow(ctx, m.To)
	switch {
	case errors.Is(err, errNoLedger):
	case err != nil:
		return fmt.Errorf("the target: %w", err)
	case !again:
		return fmt.Errorf("the target holds a ledger already, epoch %d, %s: `--again` replaces all that it holds", r.Epoch, r.State)
	}
	if err := freeze(ctx, m.To); err != nil {
		return fmt.Errorf("the target: %w", err)
	}
	return m.snapshot(ctx, func(from pgx.Tx) error {
		if _, err := readRow(ctx, from); err != nil {
			return fmt.Errorf("the source: %w", err)
		}
		return pgx.BeginFunc(ctx, m.To, func(to pgx.Tx) error { return m.copyAll(ctx, from, to, all) })
	})
}

func (m *Move) copyAll(ctx context.Context, from, to pgx.Tx, all []table) error {
	if _, err := to.Exec(ctx, "TRUNCATE "+names(all)+", participants, persisters"); err != nil {
		return fmt.Errorf("empty the target: %w", err)
	}
	for _, t := range all {
		rows, err := copyTable(ctx, from, to, t, t.name)
		if err != nil {
			return err
		}
		m.Log("%-20s %d rows", t.name, rows)
	}
	if err := setSequences(ctx, to); err != nil {
		return err
	}
	// The source's clock says nothing about when the target had caught up.
	if _, err := to.Exec(ctx, "UPDATE offsets SET caught_up_at = 'epoch'"); err != nil {
		return fmt.Errorf("reset the progress: %w", err)
	}
	if _, err := to.Exec(ctx, "UPDATE ledger_epoch SET state = $1", stateMoving); err != nil {
		return fmt.Errorf("mark the target: %w", err)
	}
	return nil
}
