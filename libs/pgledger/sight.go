package pgledger

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Overspent returns, by ballot, how many votes used a ticket beyond its cap; a ballot without any is not in it. It is fsck's rule
// "cap" by tickets.used alone, which is cheap enough to be asked again and again.
func Overspent(ctx context.Context, db DB) (map[string]int64, error) {
	return sumsBy(ctx, db, "SELECT ballot, sum(used - cap)::bigint FROM tickets WHERE used > cap GROUP BY ballot")
}

// VotesByBallot returns what the counts of each ballot add up to.
func VotesByBallot(ctx context.Context, db DB) (map[string]int64, error) {
	return sumsBy(ctx, db, "SELECT ballot, sum(votes)::bigint FROM user_votes GROUP BY ballot")
}

// Alive returns, by service, how many processes hold a lease: those that work on the ledger, and the persisters.
func Alive(ctx context.Context, db DB) (map[string]int64, error) {
	return sumsBy(ctx, db, `
		SELECT service, count(*) FROM participants WHERE lease_until > now() GROUP BY service
		UNION ALL SELECT 'persister', count(*) FROM persisters WHERE lease_until > now()`)
}

// Lag returns for how long some record of the log has not been applied, or may not have been since nobody is there to say so. ok is
// false before the first record.
func Lag(ctx context.Context, db DB) (lag time.Duration, ok bool, err error) {
	var seconds *float64
	err = db.QueryRow(ctx, `
		SELECT extract(epoch FROM clock_timestamp() - min(caught_up_at))::float8 FROM offsets
		WHERE topic_id = (SELECT topic_id FROM offsets ORDER BY caught_up_at DESC LIMIT 1)`).Scan(&seconds)
	if err != nil || seconds == nil {
		return 0, false, err
	}
	return time.Duration(*seconds * float64(time.Second)), true, nil
}

func sumsBy(ctx context.Context, db DB, query string) (map[string]int64, error) {
	rows, err := db.Query(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("add up: %w", err)
	}
	var (
		name string
		sum  int64
	)
	sums := map[string]int64{}
	if _, err := pgx.ForEachRow(rows, []any{&name, &sum}, func() error {
		sums[name] = sum
		return nil
	}); err != nil {
		return nil, fmt.Errorf("add up: %w", err)
	}
	return sums, nil
}
