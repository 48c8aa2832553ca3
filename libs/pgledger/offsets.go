package pgledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrOtherTopic: the offsets are those of another topic, so this one was made anew. Its records may be the old ones once
// more or may have gaps: a person has to look, and then to delete the rows of the old topic.
var ErrOtherTopic = errors.New("pgledger: the offsets belong to a topic that is gone")

// Offsets returns where each partition of a topic goes on. Partitions without a row get one that begins at 0, and that
// is not caught up before its owner says so.
func Offsets(ctx context.Context, pool *pgxpool.Pool, topic uuid.UUID, partitions int) (map[int32]int64, error) {
	_, err := pool.Exec(ctx, `
		INSERT INTO offsets (topic_id, partition, next, caught_up_at)
		SELECT $1, p, 0, 'epoch' FROM generate_series(0, $2::int - 1) AS p
		WHERE NOT EXISTS (SELECT FROM offsets WHERE topic_id <> $1)
		ON CONFLICT DO NOTHING`, topic, partitions)
	if err != nil {
		return nil, fmt.Errorf("make offsets: %w", err)
	}
	rows, err := pool.Query(ctx, "SELECT partition, next FROM offsets WHERE topic_id = $1", topic)
	if err != nil {
		return nil, fmt.Errorf("read offsets: %w", err)
	}
	next := map[int32]int64{}
	var partition int32
	var offset int64
	if _, err := pgx.ForEachRow(rows, []any{&partition, &offset}, func() error {
		next[partition] = offset
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read offsets: %w", err)
	}
	if len(next) < partitions {
		return nil, fmt.Errorf("%w: topic id is %s", ErrOtherTopic, topic)
	}
	return next, nil
}

// CaughtUp records that partitions which still stand at the given offsets had no unapplied record at a moment of the
// Postgres clock.
func CaughtUp(ctx context.Context, pool *pgxpool.Pool, topic uuid.UUID, next map[int32]int64, at time.Time) error {
	if len(next) == 0 {
		return nil
	}
	partitions, offsets := make([]int32, 0, len(next)), make([]int64, 0, len(next))
	for p, o := range next {
		partitions, offsets = append(partitions, p), append(offsets, o)
	}
	_, err := pool.Exec(ctx, `
		UPDATE offsets o SET caught_up_at = greatest(caught_up_at, $4)
		FROM unnest($2::int[], $3::bigint[]) AS m (partition, next)
		WHERE o.topic_id = $1 AND o.partition = m.partition AND o.next = m.next`, topic, partitions, offsets, at)
	if err != nil {
		return fmt.Errorf("record that partitions are caught up: %w", err)
	}
	return nil
}

// Beat renews a persister's row and returns the time of the Postgres clock. Rows of persisters that died long ago go.
func Beat(ctx context.Context, pool *pgxpool.Pool, id string, readsFormat int, lease time.Duration) (time.Time, error) {
	var now time.Time
	err := pool.QueryRow(ctx, `
		WITH dead AS (DELETE FROM persisters WHERE id <> $1 AND lease_until < now() - interval '1 day')
		INSERT INTO persisters (id, reads_format, lease_until) VALUES ($1, $2, now() + $3::interval)
		ON CONFLICT (id) DO UPDATE SET reads_format = excluded.reads_format, lease_until = excluded.lease_until
		RETURNING clock_timestamp()`, id, readsFormat, lease).Scan(&now)
	if err != nil {
		return time.Time{}, fmt.Errorf("renew the persister's row: %w", err)
	}
	return now, nil
}

// Leave removes a persister's row.
func Leave(ctx context.Context, pool *pgxpool.Pool, id string) error {
	if _, err := pool.Exec(ctx, "DELETE FROM persisters WHERE id = $1", id); err != nil {
		return fmt.Errorf("remove the persister's row: %w", err)
	}
	return nil
}
