package pgledger

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// reason is the word for a verdict that leaves a batch without effect, in dropped_batches and in the log.
func (v Verdict) reason() string {
	switch v {
	case EpochOver:
		return "epoch_over"
	case Certified:
		return "certified"
	default:
		return ""
	}
}

// LostFor returns the verdict that a reason stands for; zero for one that is not known.
func LostFor(reason string) Verdict {
	for _, v := range []Verdict{EpochOver, Certified} {
		if v.reason() == reason {
			return v
		}
	}
	return 0
}

// DroppedBatch is a batch that has no effect, and the reason.
type DroppedBatch struct {
	ID     uuid.UUID
	Reason string
}

// Untold returns up to limit dropped batches of which the log does not know yet that they are.
func Untold(ctx context.Context, db DB, limit int) ([]DroppedBatch, error) {
	rows, err := db.Query(ctx, "SELECT batch_id, reason FROM dropped_batches WHERE NOT told LIMIT $1", limit)
	if err != nil {
		return nil, fmt.Errorf("look for dropped batches: %w", err)
	}
	dropped, err := pgx.CollectRows(rows, pgx.RowToStructByPos[DroppedBatch])
	if err != nil {
		return nil, fmt.Errorf("look for dropped batches: %w", err)
	}
	return dropped, nil
}

// Told remembers that the log knows of these.
func Told(ctx context.Context, pool *pgxpool.Pool, dropped []DroppedBatch) error {
	ids := make([]uuid.UUID, len(dropped))
	for i, d := range dropped {
		ids[i] = d.ID
	}
	if _, err := pool.Exec(ctx, "UPDATE dropped_batches SET told = true WHERE batch_id = ANY ($1::uuid[])", raw(ids)); err != nil {
		return fmt.Errorf("note that the log knows of dropped batches: %w", err)
	}
	return nil
}
