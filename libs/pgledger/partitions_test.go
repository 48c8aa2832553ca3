package pgledger_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/pgledger"
)

// A persister that runs for months makes each day's partitions before the day begins, over the ends of months and years and over
// a leap day, in whatever zone its machine is; an older one beside it does the same, and neither minds.
func TestPartitionsRollOverForMonths(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	first := time.Date(2027, time.December, 20, 0, 0, 0, 0, time.UTC)
	const days = 75 // until March
	kiribati := time.FixedZone("LINT", 14*60*60)
	for n := range days {
		evening := first.AddDate(0, 0, n).Add(23*time.Hour + 30*time.Minute)
		var both sync.WaitGroup
		for _, now := range []time.Time{evening, evening.In(kiribati)} {
			both.Go(func() {
				if err := pgledger.EnsurePartitions(t.Context(), pool, now); err != nil {
					t.Errorf("at %v: %v", now, err)
				}
			})
		}
		both.Wait()
		midnight := first.AddDate(0, 0, n+1)
		for _, at := range []time.Time{midnight.Add(-time.Millisecond), midnight} {
			insertAt(t, pool, at)
		}
	}
	for _, table := range []string{"vote_logs", "applied_batches"} {
		if n := count(t, pool, table+"_default"); n != 0 {
			t.Errorf("%s: %d rows in the default partition", table, n)
		}
		for n := range days + 1 {
			name := table + first.AddDate(0, 0, n).Format("_20060102")
			want := 2
			if n == 0 || n == days {
				want = 1
			}
			if got := count(t, pool, name); got != want {
				t.Errorf("%s has %d rows, want %d", name, got, want)
			}
		}
	}
	last := first.AddDate(0, 0, days-1)
	if state, err := pgledger.LookAtPartitions(t.Context(), pool, last); err != nil || len(state.Missing) > 0 || state.InDefault["vote_logs"] {
		t.Errorf("on the last day: %+v, %v", state, err)
	}
	if state, err := pgledger.LookAtPartitions(t.Context(), pool, last.AddDate(0, 0, 4)); err != nil || len(state.Missing) != 4 {
		t.Errorf("with nobody to make them for four days: %+v, %v", state, err)
	}
}

func insertAt(t *testing.T, pool *pgxpool.Pool, at time.Time) {
	t.Helper()
	id := uuid.UUID{6: 0x70, 8: 0x80, 15: 1}
	for i := range 6 {
		id[i] = byte(at.UnixMilli() >> (8 * (5 - i)))
	}
	_, err := pool.Exec(t.Context(), `
		INSERT INTO vote_logs (vote_id, ballot, username, delta, ticket_version, voter, voted_at, epoch, admission, batch_id)
		VALUES ($1, 'main', 'A', 1, '1.1.1', '', $2, 1, 1, $1)`, [16]byte(id), at)
	if err == nil {
		_, err = pool.Exec(t.Context(), "INSERT INTO applied_batches (batch_id, epoch) VALUES ($1, 1)", [16]byte(id))
	}
	if err != nil {
		t.Fatalf("a vote at %v: %v", at, err)
	}
}

// Nobody was there to make partitions, and votes came all the same: they count where they are, that day stays in the default
// partition, and the next days have their own again.
func TestPartitionsAfterNobodyMadeThem(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	monday := time.Date(2031, time.June, 2, 12, 0, 0, 0, time.UTC)
	insertAt(t, pool, monday)
	state, err := pgledger.LookAtPartitions(t.Context(), pool, monday)
	if err != nil || len(state.Missing) != 4 || !state.InDefault["vote_logs"] || !state.InDefault["applied_batches"] {
		t.Errorf("before: %+v, %v", state, err)
	}
	err = pgledger.EnsurePartitions(t.Context(), pool, monday)
	if err == nil || strings.Count(err.Error(), "the default partition holds rows of that day") != 2 {
		t.Errorf("that day's partitions: %v", err)
	}
	insertAt(t, pool, monday.AddDate(0, 0, 1))
	if n := count(t, pool, "vote_logs_20310603"); n != 1 {
		t.Errorf("the next day's partition has %d rows", n)
	}
	if err := pgledger.EnsurePartitions(t.Context(), pool, monday.AddDate(0, 0, 1)); err != nil {
		t.Errorf("the day after: %v", err)
	}
}

// What README says of old days: they may be moved to slow disks, and everything can still be recounted.
func TestOldDaysMayBeMovedToOtherDisks(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	mustApply(t, pool, newBatch("main", 1, "A", "B"))
	day := "vote_logs_" + time.Now().UTC().Format("20060102")
	cold := "cold_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	for _, statement := range []string{
		"SET allow_in_place_tablespaces = on", // stands in for a folder on another disk
		"CREATE TABLESPACE " + cold + " LOCATION ''",
		"ALTER TABLE " + day + " SET TABLESPACE " + cold,
	} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	t.Cleanup(func() { // a tablespace belongs to the server, not to the test's database
		for _, statement := range []string{"ALTER TABLE " + day + " SET TABLESPACE pg_default", "DROP TABLESPACE " + cold} {
			if _, err := pool.Exec(context.WithoutCancel(t.Context()), statement); err != nil {
				t.Errorf("%s: %v", statement, err)
			}
		}
	})
	mustApply(t, pool, newBatch("main", 2, "A"))
	if n := count(t, pool, day); n != 3 {
		t.Errorf("%s has %d rows, want 3", day, n)
	}
	expectRecount(t, pool)
}
