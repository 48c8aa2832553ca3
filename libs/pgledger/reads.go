package pgledger

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Tally is a row of user_votes.
type Tally struct {
	Username  string
	Votes     int64
	Version   int64
	UpdatedAt time.Time
}

// Tallies reads the counts of a ballot, by name; no names means all. Whoever was never voted for has no row.
func Tallies(ctx context.Context, db DB, ballot string, names []string) ([]Tally, error) {
	rows, err := db.Query(ctx, `
		SELECT username, votes, version, updated_at FROM user_votes
		WHERE ballot = $1 AND ($2::text[] IS NULL OR username = ANY ($2)) ORDER BY username COLLATE "C"`, ballot, names)
	if err != nil {
		return nil, fmt.Errorf("read tallies: %w", err)
	}
	tallies, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Tally])
	if err != nil {
		return nil, fmt.Errorf("read tallies: %w", err)
	}
	return tallies, nil
}

// tokenKept is how long a batch id is looked for in applied_batches, which keeps it for a day beyond the topic's retention
// at least; an acknowledged batch is applied or in the log long before.
const tokenKept = "1 day"

// Reading is what Postgres said of a ballot's counts at a moment.
type Reading struct {
	Tallies  []Tally
	Epoch    Epoch     // that was on
	At       time.Time // by the server's clock
	CaughtUp time.Time // by the same clock: what was appended to the log before is in the counts; zero where nobody has said so yet
	Seen     bool      // the vote that was asked about is in the counts
}

// TalliesAt is Tallies with the row of ledger_epoch as of the same moment. A vote with a token is seen if its batch is applied, or
// its epoch is over, which ends with everything acknowledged applied; nil stands for any. It may
// be asked of a replica. ErrNoEpoch if none was ever opened.
func TalliesAt(ctx context.Context, db DB, ballot string, names []string, atLeast *Token) (Reading, error) {
	var (
		after int64
		batch [16]byte
		made  time.Time
	)
	if atLeast != nil {
		after, batch = atLeast.Epoch, atLeast.Batch
		made = time.UnixMilli(int64(binary.BigEndian.Uint64(batch[:8]) >> 16))
	}
	rows, err := db.Query(ctx, `
		SELECT `+epochColumns+`, statement_timestamp(), o.caught_up_at,
			e.epoch > $3 OR EXISTS (SELECT FROM applied_batches WHERE batch_id = $4)
				OR coalesce($5 < o.caught_up_at - interval '`+tokenKept+`', false),
			u.username, u.votes, u.version, u.updated_at
		FROM ledger_epoch e
		CROSS JOIN (SELECT min(caught_up_at) AS caught_up_at FROM offsets) o
		LEFT JOIN user_votes u ON u.ballot = $1 AND ($2::text[] IS NULL OR u.username = ANY ($2))
		ORDER BY u.username COLLATE "C"`, ballot, names, after, batch, made)
	if err != nil {
		return Reading{}, fmt.Errorf("read tallies: %w", err)
	}
	var (
		username       *string
		votes, version *int64
		updated        *time.Time
		caughtUp       *time.Time
		r              Reading
	)
	tag, err := pgx.ForEachRow(rows, append(r.Epoch.targets(), &r.At, &caughtUp, &r.Seen, &username, &votes, &version, &updated), func() error {
		if username != nil {
			r.Tallies = append(r.Tallies, Tally{*username, *votes, *version, *updated})
		}
		return nil
	})
	if err != nil {
		return Reading{}, fmt.Errorf("read tallies: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return Reading{}, ErrNoEpoch
	}
	if caughtUp != nil {
		r.CaughtUp = *caughtUp
	}
	r.Seen = r.Seen || atLeast == nil
	return r, nil
}
