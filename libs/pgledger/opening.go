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

// StillOpen returns an error unless this epoch in Redis is open.
func StillOpen(ctx context.Context, db DB, epoch int64) error {
	row, err := CurrentEpoch(ctx, db)
	if err != nil {
		return err
	}
	if row.Number != epoch || row.Mode != "redis" || row.State != stateOpen {
		return ErrNotOpen
	}
	return nil
}

// NameBallots gives ballots that were made after their epoch in Redis began their row in ballot_ns, and returns those that had
// none. Their markers may be made once this has returned, and only by this caller.
func NameBallots(ctx context.Context, db DB, epoch int64, ballots []string) ([]string, error) {
	rows, err := db.Query(ctx, `
		WITH e AS MATERIALIZED (SELECT epoch FROM ledger_epoch WHERE epoch = $1 AND mode = 'redis' AND state = 'open' FOR SHARE)
		INSERT INTO ballot_ns (epoch, ballot) SELECT e.epoch, b FROM e, unnest($2::text[]) b
		ON CONFLICT DO NOTHING RETURNING ballot`, epoch, ballots)
	if err != nil {
		return nil, fmt.Errorf("name ballots: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
