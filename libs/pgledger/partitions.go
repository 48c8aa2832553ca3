package pgledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Beginner starts transactions: a pool or a connection.
type Beginner interface {
	DB
	Begin(ctx context.Context) (pgx.Tx, error)
}

const (
	// daysAhead is how many days beyond today have their partitions. The default partitions stay empty as long as
	// somebody makes them once in so many days.
	daysAhead = 3
	// partitionLock keeps two processes from making the same partition.
	partitionLock = 0x6c76_7061 // "lvpa"
	// lockTimeout bounds how long other transactions may queue up behind a change of partitions; it is tried again later.
	lockTimeout = "200ms"
)

// partitioned is a table with one partition a day, by UTC.
type partitioned struct {
	table string
	bound func(day time.Time) string // where a day begins, as an SQL literal
}

var (
	logPartitions     = partitioned{"vote_logs", func(day time.Time) string { return "'" + day.Format(time.DateOnly) + " 00:00:00+00'" }}
	appliedPartitions = partitioned{"applied_batches", func(day time.Time) string { return "'" + firstUUIDv7(day).String() + "'" }}
)

func (p partitioned) name(day time.Time) string { return p.table + "_" + day.Format("20060102") }

// firstUUIDv7 is below every UUIDv7 made from t on, and above every earlier one.
func firstUUIDv7(t time.Time) uuid.UUID {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], uint64(t.UnixMilli())<<16)
	return id
}

// EnsurePartitions makes the partitions of today and the next days. It waits for nobody longer than a moment: an error
// means to try again later, and until then the default partitions take what belongs to a missing one.
func EnsurePartitions(ctx context.Context, db Beginner, now time.Time) error {
	today := now.UTC().Truncate(24 * time.Hour)
	var errs []error
	for _, p := range []partitioned{logPartitions, appliedPartitions} {
		for ahead := range daysAhead + 1 {
			if err := p.ensure(ctx, db, today.AddDate(0, 0, ahead)); err != nil {
				errs = append(errs, fmt.Errorf("make partition %s: %w", p.name(today.AddDate(0, 0, ahead)), err))
			}
		}
	}
	return errors.Join(errs...)
}

// ensure makes one partition. The table is made first and attached then: unlike CREATE … PARTITION OF, that lets others
// go on inserting into the other partitions.
func (p partitioned) ensure(ctx context.Context, db Beginner, day time.Time) error {
	return change(ctx, db, func(tx pgx.Tx) error {
		var there bool
		if err := tx.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", p.name(day)).Scan(&there); err != nil || there {
			return err
		}
		_, err := tx.Exec(ctx, fmt.Sprintf(`
			CREATE TABLE %[1]s (LIKE %[2]s INCLUDING ALL);
			ALTER TABLE %[2]s ATTACH PARTITION %[1]s FOR VALUES FROM (%[3]s) TO (%[4]s)`,
			p.name(day), p.table, p.bound(day), p.bound(day.AddDate(0, 0, 1))))
		var pg *pgconn.PgError
		if errors.As(err, &pg) && pg.Code == "23514" {
			return fmt.Errorf("the default partition holds rows of that day, which stay there: %w", err)
		}
		return err
	})
}

// PartitionState says which partitions should be there by now.
type PartitionState struct {
	Missing   []string        // of today and tomorrow
	InDefault map[string]bool // by table, whether its default partition holds rows
}

// LookAtPartitions changes nothing.
func LookAtPartitions(ctx context.Context, db DB, now time.Time) (PartitionState, error) {
	today := now.UTC().Truncate(24 * time.Hour)
	state := PartitionState{InDefault: map[string]bool{}}
	for _, p := range []partitioned{logPartitions, appliedPartitions} {
		for ahead := range 2 {
			name := p.name(today.AddDate(0, 0, ahead))
			var there bool
			err := db.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_inherits WHERE inhparent = $1::regclass AND inhrelid = to_regclass($2))",
				p.table, name).Scan(&there)
			if err != nil {
				return PartitionState{}, fmt.Errorf("look at partitions: %w", err)
			}
			if !there {
				state.Missing = append(state.Missing, name)
			}
		}
		var there bool
		if err := db.QueryRow(ctx, "SELECT EXISTS (SELECT FROM "+p.table+"_default)").Scan(&there); err != nil {
			return PartitionState{}, fmt.Errorf("look at partitions: %w", err)
		}
		state.InDefault[p.table] = there
	}
	return state, nil
}

// DropOldBatches forgets batch ids that no record can come back for: those made longer than the topic's retention and a
// day before the moment up to which everything is applied. That moment counts, not now: a persister that was away still
// has their records before it. It returns the partitions it dropped.
func DropOldBatches(ctx context.Context, db Beginner, retention time.Duration) ([]string, error) {
	var caughtUp *time.Time
	err := db.QueryRow(ctx, "SELECT least(min(caught_up_at), now()) FROM offsets HAVING count(*) > 0").Scan(&caughtUp)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("drop old batch ids: %w", err)
	}
	horizon := caughtUp.Add(-retention - 24*time.Hour)
	names, err := appliedPartitions.before(ctx, db, horizon)
	if err != nil {
		return nil, fmt.Errorf("drop old batch ids: %w", err)
	}
	for i, name := range names {
		err := change(ctx, db, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "DROP TABLE IF EXISTS "+name)
			return err
		})
		if err != nil {
			return names[:i], fmt.Errorf("drop %s: %w", name, err)
		}
	}
	// A vote-service whose clock is wrong, or a missing partition, puts ids there.
	err = change(ctx, db, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "DELETE FROM applied_batches_default WHERE batch_id < $1", firstUUIDv7(horizon))
		return err
	})
	if err != nil {
		return names, fmt.Errorf("delete from applied_batches_default: %w", err)
	}
	return names, nil
}

// before lists the partitions of days that were over at the horizon, oldest first.
func (p partitioned) before(ctx context.Context, db DB, horizon time.Time) ([]string, error) {
	rows, err := db.Query(ctx, `
		SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = $1::regclass ORDER BY 1`, p.table)
	if err != nil {
		return nil, err
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	var old []string
	for _, name := range all {
		day, err := time.Parse("20060102", strings.TrimPrefix(name, p.table+"_"))
		if err == nil && !day.AddDate(0, 0, 1).After(horizon) {
			old = append(old, name)
		}
	}
	return old, nil
}

// change runs a change of tables, one process at a time.
func change(ctx context.Context, db Beginner, f func(tx pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", partitionLock); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '"+lockTimeout+"'"); err != nil {
			return err
		}
		return f(tx)
	})
}
