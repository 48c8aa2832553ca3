package pgledger

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// clockSlack is how far the clock of admission may be behind that of Postgres: rows of an epoch are looked for from its
// opening on, less this. It only saves reading the days before.
const clockSlack = "1 day"

// CutRow is what a batch gave a candidate.
type CutRow struct {
	Username string
	Batch    uuid.UUID
	Votes    int64
}

// CutSums adds up the ledger rows of an open epoch with an admission number above after and up to upTo. since is a moment
// of the admission clock before which none of them was admitted, or the zero time. ErrNotOpen if the epoch is over.
func CutSums(ctx context.Context, db DB, epoch int64, ballot string, after, upTo int64, since time.Time) ([]CutRow, error) {
	rows, err := db.Query(ctx, `
		SELECT l.username, l.batch_id, l.votes
		FROM ledger_epoch e LEFT JOIN LATERAL (
			SELECT username, batch_id, sum(delta)::bigint AS votes FROM vote_logs
			WHERE ballot = $2 AND epoch = $1 AND admission > $3 AND admission <= $4
				AND voted_at >= $5 AND voted_at >= e.opened_at - interval '`+clockSlack+`'
			GROUP BY username, batch_id
		) l ON true
		WHERE e.epoch = $1`, epoch, ballot, after, upTo, since)
	if err != nil {
		return nil, fmt.Errorf("add up a cut: %w", err)
	}
	var (
		sums     []CutRow
		username *string
		batch    uuid.NullUUID
		votes    *int64
	)
	tag, err := pgx.ForEachRow(rows, []any{&username, &batch, &votes}, func() error {
		if username != nil {
			sums = append(sums, CutRow{*username, batch.UUID, *votes})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("add up a cut: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return nil, ErrNotOpen
	}
	return sums, nil
}

// Base returns what the counts of a ballot were when the epoch began.
func Base(ctx context.Context, db DB, epoch int64, ballot string) (map[string]int64, error) {
	rows, err := db.Query(ctx, "SELECT username, votes FROM epoch_base WHERE epoch = $1 AND ballot = $2", epoch, ballot)
	if err != nil {
		return nil, fmt.Errorf("read the base: %w", err)
	}
	var (
		username string
		votes    int64
	)
	base := map[string]int64{}
	if _, err := pgx.ForEachRow(rows, []any{&username, &votes}, func() error {
		base[username] = votes
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read the base: %w", err)
	}
	return base, nil
}

// SelfDiff is a candidate in whose count Postgres disagrees with itself: Tally is not Base + Ledger.
type SelfDiff struct {
	Username string
	Tally    int64 // of user_votes
	Base     int64 // when the epoch began
	Ledger   int64 // of the epoch
}

// SelfCheck compares the counts of a ballot with the base and the ledger of the open epoch, as of one moment, and returns
// what differs. It reads the epoch's whole ledger. ErrNotOpen if the epoch is over.
func SelfCheck(ctx context.Context, db DB, epoch int64, ballot string) ([]SelfDiff, error) {
	rows, err := db.Query(ctx, `
		SELECT d.username, d.tally, d.base, d.ledger
		FROM ledger_epoch e LEFT JOIN LATERAL (
			SELECT username, coalesce(u.votes, 0) AS tally, coalesce(b.votes, 0) AS base, coalesce(l.votes, 0) AS ledger
			FROM (SELECT username, votes FROM user_votes WHERE ballot = $2) u
			FULL JOIN (SELECT username, votes FROM epoch_base WHERE epoch = $1 AND ballot = $2) b USING (username)
			FULL JOIN (
				SELECT username, sum(delta)::bigint AS votes FROM vote_logs
				WHERE ballot = $2 AND epoch = $1 AND voted_at >= e.opened_at - interval '`+clockSlack+`' GROUP BY username
			) l USING (username)
		) d ON d.tally <> d.base + d.ledger
		WHERE e.epoch = $1 ORDER BY d.username COLLATE "C"`, epoch, ballot)
	if err != nil {
		return nil, fmt.Errorf("compare the counts: %w", err)
	}
	var (
		diffs               []SelfDiff
		username            *string
		tally, base, ledger *int64
	)
	tag, err := pgx.ForEachRow(rows, []any{&username, &tally, &base, &ledger}, func() error {
		if username != nil {
			diffs = append(diffs, SelfDiff{*username, *tally, *base, *ledger})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("compare the counts: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return nil, ErrNotOpen
	}
	return diffs, nil
}
