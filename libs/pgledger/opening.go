package pgledger

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// WriteBase writes down what every count is at the beginning of an epoch, in the transaction that opens it. The bases of
// epochs before the last one go.
func WriteBase(ctx context.Context, tx pgx.Tx, epoch int64) error {
	if _, err := tx.Exec(ctx, "DELETE FROM epoch_base WHERE epoch < $1::bigint - 1", epoch); err != nil {
		return fmt.Errorf("drop old bases: %w", err)
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO epoch_base (epoch, ballot, username, votes)
		SELECT $1, ballot, username, votes FROM user_votes ON CONFLICT DO NOTHING`, epoch)
	if err != nil {
		return fmt.Errorf("write the base: %w", err)
	}
	return nil
}

// OpenPg makes what an epoch in Postgres needs of each ballot, in the transaction that opens it.
func OpenPg(ctx context.Context, tx pgx.Tx, epoch int64) error {
	if _, err := tx.Exec(ctx, "DELETE FROM pg_ballots WHERE epoch < $1::bigint - 10", epoch); err != nil {
		return fmt.Errorf("drop old ballots: %w", err)
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO pg_ballots (epoch, ballot, admissions, last_number, fence)
		SELECT $1, b.ballot, coalesce(max(v.version), 0), 0, 0
		FROM ballots b LEFT JOIN user_votes v USING (ballot) GROUP BY b.ballot ON CONFLICT DO NOTHING`, epoch)
	if err != nil {
		return fmt.Errorf("open the ballots: %w", err)
	}
	return nil
}
