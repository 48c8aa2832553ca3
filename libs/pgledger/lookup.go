package pgledger

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"
)

// Key is a recorded idempotency key.
type Key struct {
	BodyHash [16]byte
	BatchID  uuid.UUID
}

// Keys is what Lookup found.
type Keys struct {
	Found map[uuid.UUID]Key
	// Lag bounds how old the answer is: every record that was appended longer ago is in it. It is the largest duration
	// when no persister has ever run.
	Lag time.Duration
}

// Lookup says which of the keys are recorded for a ballot, and how far the ledger was behind the topic at that moment. A key
// that is not found is free only if it can't have been admitted within the lag.
func Lookup(ctx context.Context, db DB, ballot string, keys []uuid.UUID) (Keys, error) {
	rows, err := db.Query(ctx, `
		SELECT l.lag, k.key, k.body_hash, k.batch_id
		FROM (SELECT extract(epoch FROM clock_timestamp() - min(caught_up_at))::float8 AS lag FROM offsets) l
		LEFT JOIN vote_keys k ON k.ballot = $1 AND k.key = ANY ($2::uuid[])`, ballot, raw(keys))
	if err != nil {
		return Keys{}, fmt.Errorf("look up keys: %w", err)
	}
	defer rows.Close()
	result := Keys{Found: map[uuid.UUID]Key{}, Lag: math.MaxInt64}
	for rows.Next() {
		var (
			seconds    *float64
			key, batch uuid.NullUUID
			hash       []byte
		)
		if err := rows.Scan(&seconds, &key, &hash, &batch); err != nil {
			return Keys{}, fmt.Errorf("look up keys: %w", err)
		}
		if seconds != nil {
			result.Lag = time.Duration(*seconds * float64(time.Second))
		}
		if key.Valid {
			found := Key{BatchID: batch.UUID}
			copy(found.BodyHash[:], hash)
			result.Found[key.UUID] = found
		}
	}
	if err := rows.Err(); err != nil {
		return Keys{}, fmt.Errorf("look up keys: %w", err)
	}
	return result, nil
}

// raw is how pgx writes ids fast: a uuid.UUID it would write as text and parse again.
func raw(ids []uuid.UUID) [][16]byte {
	out := make([][16]byte, len(ids))
	for i, id := range ids {
		out[i] = id
	}
	return out
}
