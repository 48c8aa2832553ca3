package pgledger_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/testenv"
)

func TestMigrateAtTheSameTime(t *testing.T) {
	t.Parallel()
	url := testenv.Postgres(t)
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			if err := pgledger.Migrate(t.Context(), url, slog.New(slog.DiscardHandler)); err != nil {
				t.Errorf("migrate: %v", err)
			}
		})
	}
	all.Wait()
	pool := connect(t, url)
	if n := count(t, pool, "ballots"); n != 3 {
		t.Errorf("%d ballots, want those of one run", n)
	}
}

func TestMigrateWaitsForAnother(t *testing.T) {
	t.Parallel()
	url := testenv.Postgres(t)
	pool := connect(t, url)
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if _, err := conn.Exec(t.Context(), "SELECT pg_advisory_lock(1819700585)"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := pgledger.Migrate(ctx, url, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "another migration is running") {
		t.Errorf("error is %v, want that another migration is running", err)
	}
}

func TestPartitionsTakeTheRows(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	mustApply(t, pool, newBatch("main", 1, "A"))
	ahead := newBatch("main", 2, "A")
	tomorrow := time.Now().AddDate(0, 0, 1)
	ahead.AdmittedAtMs = tomorrow.UnixMilli()
	mustApply(t, pool, ahead)
	for _, table := range []string{"vote_logs_default", "applied_batches_default"} {
		if n := count(t, pool, table); n != 0 {
			t.Errorf("%s has %d rows, want none", table, n)
		}
	}
	if n := count(t, pool, "vote_logs_"+tomorrow.UTC().Format("20060102")); n != 1 {
		t.Errorf("tomorrow's partition has %d rows, want 1", n)
	}
	// A clock that is far off is no reason to stop.
	ancient := newBatch("main", 3, "A")
	ancient.AdmittedAtMs = time.Date(1999, time.May, 5, 0, 0, 0, 0, time.UTC).UnixMilli()
	mustApply(t, pool, ancient)
	if n := count(t, pool, "vote_logs_default"); n != 1 {
		t.Errorf("the default partition has %d rows, want 1", n)
	}
	expectRecount(t, pool)
}

func TestEnsurePartitionsNeverBlocksForLong(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	reader, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Rollback(t.Context()) }()
	// Locks all partitions for as long as it is open, the default one too.
	if _, err := reader.Exec(t.Context(), "SELECT count(*) FROM vote_logs"); err != nil {
		t.Fatal(err)
	}
	later := time.Now().AddDate(0, 0, 2)
	err = pgledger.EnsurePartitions(t.Context(), pool, later)
	if err == nil || !strings.Contains(err.Error(), "lock timeout") {
		t.Errorf("error is %v, want that it could not get its lock in time", err)
	}
	mustApply(t, pool, newBatch("main", 1, "A"))
	if err := reader.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := pgledger.EnsurePartitions(t.Context(), pool, later); err != nil {
			t.Errorf("once the reader is gone: %v", err)
		}
	}
	if name := "vote_logs_" + later.AddDate(0, 0, 3).UTC().Format("20060102"); count(t, pool, name) != 0 {
		t.Errorf("%s has rows", name)
	}
}

func TestS63OldSlicesAreDropped(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	const retention = 24 * time.Hour
	today := time.Now().UTC()
	for ago := range 5 {
		if err := pgledger.EnsurePartitions(t.Context(), pool, today.AddDate(0, 0, -ago)); err != nil {
			t.Fatal(err)
		}
	}
	mustApply(t, pool, newBatch("main", 1, "A"))
	run(t, pool, "INSERT INTO applied_batches_default VALUES ('00000000-0000-7000-8000-000000000000', 1)")

	drop := func() []string {
		t.Helper()
		names, err := pgledger.DropOldBatches(t.Context(), pool, retention)
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	if names := drop(); len(names) > 0 {
		t.Errorf("dropped %v while no persister has ever run", names)
	}
	topic := uuid.New()
	if _, err := pgledger.Offsets(t.Context(), pool, topic, 1); err != nil {
		t.Fatal(err)
	}
	if names := drop(); len(names) > 0 {
		t.Errorf("dropped %v while nothing is caught up: their records may still come", names)
	}
	caughtUp(t, pool, topic, time.Now())
	// The day before yesterday ended less than two days ago.
	want := []string{"applied_batches_" + today.AddDate(0, 0, -4).Format("20060102"), "applied_batches_" + today.AddDate(0, 0, -3).Format("20060102")}
	if diff := cmp.Diff(want, drop()); diff != "" {
		t.Errorf("dropped (-want +got):\n%s", diff)
	}
	if n := count(t, pool, "applied_batches"); n != 1 {
		t.Errorf("%d batch ids are left, want today's", n)
	}
}

func caughtUp(t *testing.T, pool *pgxpool.Pool, topic uuid.UUID, at time.Time) {
	t.Helper()
	if err := pgledger.CaughtUp(t.Context(), pool, topic, map[int32]int64{0: 0}, at); err != nil {
		t.Fatal(err)
	}
}
