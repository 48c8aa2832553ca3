package pgledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// DB is what a read needs: a pool, a connection or a transaction.
type DB interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Epoch is the row of ledger_epoch.
type Epoch struct {
	Number     int64
	Mode       string // redis or pg
	State      string // open, ending or sealed
	NS         string
	Replicated bool
	Held       bool // an operator keeps it in Postgres
	Rested     bool // it has been open for as long as an epoch in Postgres must be
}

const epochColumns = "e.epoch, e.mode, e.state, e.ns, e.replicated, e.held, e.opened_at + e.stay <= now()"

func (e *Epoch) targets() []any {
	return []any{&e.Number, &e.Mode, &e.State, &e.NS, &e.Replicated, &e.Held, &e.Rested}
}

// CurrentEpoch reads the row, or returns ErrNoEpoch.
func CurrentEpoch(ctx context.Context, db DB) (Epoch, error) {
	var e Epoch
	err := db.QueryRow(ctx, "SELECT "+epochColumns+" FROM ledger_epoch e").Scan(e.targets()...)
	if errors.Is(err, pgx.ErrNoRows) {
		return Epoch{}, ErrNoEpoch
	}
	if err != nil {
		return Epoch{}, fmt.Errorf("read the epoch: %w", err)
	}
	return e, nil
}

// BatchApplied returns which of the batches are applied, and the epoch, as of one moment. A batch of an earlier epoch
// that is not applied then never will be.
func BatchApplied(ctx context.Context, db DB, ids []uuid.UUID) (map[uuid.UUID]bool, Epoch, error) {
	rows, err := db.Query(ctx, `
		SELECT `+epochColumns+`, a.batch_id
		FROM ledger_epoch e LEFT JOIN applied_batches a ON a.batch_id = ANY ($1::uuid[])`, raw(ids))
	if err != nil {
		return nil, Epoch{}, fmt.Errorf("look up batches: %w", err)
	}
	defer rows.Close()
	var epoch Epoch
	applied := make(map[uuid.UUID]bool, len(ids))
	found := false
	for rows.Next() {
		var id uuid.NullUUID
		if err := rows.Scan(append(epoch.targets(), &id)...); err != nil {
			return nil, Epoch{}, fmt.Errorf("look up batches: %w", err)
		}
		found = true
		if id.Valid {
			applied[id.UUID] = true
		}
	}
	if err := rows.Err(); err != nil {
		return nil, Epoch{}, fmt.Errorf("look up batches: %w", err)
	}
	if !found {
		return nil, Epoch{}, ErrNoEpoch
	}
	return applied, epoch, nil
}
