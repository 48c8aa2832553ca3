package pgledger_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/littlevote/littlevote/libs/pgledger"
)

// openRedis opens an epoch in Redis, as far as Postgres is concerned.
func openRedis(t *testing.T, pool pgledger.Beginner, epoch int64) {
	t.Helper()
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), "UPDATE ledger_epoch SET epoch = $1, mode = 'redis', state = 'open', opened_at = now()", epoch)
		return errors.Join(err, pgledger.WriteBase(t.Context(), tx, epoch))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Hole H22: a cut is added up by admission numbers, whatever is applied meanwhile.
func TestCutSums(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	mustApply(t, pool, newBatch("main", 1, "A", "B")) // of the epoch before
	openRedis(t, pool, 2)
	one, two, other := newBatch("main", 11, "A", "A", "B"), newBatch("main", 14, "A"), newBatch("cast", 11, "A")
	two.Votes[0].Deltas[0] = 5
	one.Epoch, two.Epoch, other.Epoch = 2, 2, 2
	one.Candidates = []string{"A", "C", "B"}
	mustApply(t, pool, one, two, other)

	first, second := uuid.UUID(one.GetBatchId()), uuid.UUID(two.GetBatchId())
	for name, c := range map[string]struct {
		after, upTo int64
		want        []pgledger.CutRow
	}{
		"all":            {0, 100, []pgledger.CutRow{{"A", first, 1}, {"A", second, 5}, {"B", first, 1}, {"C", first, 1}}},
		"up to a number": {0, 12, []pgledger.CutRow{{"A", first, 1}, {"C", first, 1}}},
		"from a number":  {12, 14, []pgledger.CutRow{{"A", second, 5}, {"B", first, 1}}},
		"nothing":        {14, 20, nil},
	} {
		got, err := pgledger.CutSums(t.Context(), pool, 2, "main", c.after, c.upTo, time.Time{})
		less := func(a, b pgledger.CutRow) bool {
			return a.Username < b.Username || a.Username == b.Username && a.Votes < b.Votes
		}
		if diff := cmp.Diff(c.want, got, cmpopts.SortSlices(less)); err != nil || diff != "" {
			t.Errorf("%s (-want +got), %v:\n%s", name, err, diff)
		}
	}
	later, err := pgledger.CutSums(t.Context(), pool, 2, "main", 0, 100, time.Now().Add(time.Hour))
	if err != nil || later != nil {
		t.Errorf("since a later time: %v, %v", later, err)
	}
	base, err := pgledger.Base(t.Context(), pool, 2, "main")
	if diff := cmp.Diff(map[string]int64{"A": 1, "B": 1}, base); err != nil || diff != "" {
		t.Errorf("base (-want +got), %v:\n%s", err, diff)
	}
	if _, err := pgledger.CutSums(t.Context(), pool, 1, "main", 0, 100, time.Time{}); !errors.Is(err, pgledger.ErrNotOpen) {
		t.Errorf("an epoch that is over: error is %v, want ErrNotOpen", err)
	}
}

func TestSelfCheck(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	mustApply(t, pool, newBatch("main", 1, "A", "B", "D"))
	openRedis(t, pool, 2)
	batch := newBatch("main", 11, "A", "C")
	batch.Epoch = 2
	mustApply(t, pool, batch)
	check := func() []pgledger.SelfDiff {
		t.Helper()
		diffs, err := pgledger.SelfCheck(t.Context(), pool, 2, "main")
		if err != nil {
			t.Fatal(err)
		}
		return diffs
	}
	if diffs := check(); diffs != nil {
		t.Errorf("differs: %+v", diffs)
	}
	run(t, pool, "UPDATE user_votes SET votes = 7 WHERE username = 'A'")
	run(t, pool, "DELETE FROM user_votes WHERE username = 'B'")
	run(t, pool, "DELETE FROM vote_logs WHERE username = 'C'")
	want := []pgledger.SelfDiff{{"A", 7, 1, 1}, {"B", 0, 1, 0}, {"C", 1, 0, 0}}
	if diff := cmp.Diff(want, check()); diff != "" {
		t.Errorf("differences (-want +got):\n%s", diff)
	}
	if _, err := pgledger.SelfCheck(t.Context(), pool, 1, "main"); !errors.Is(err, pgledger.ErrNotOpen) {
		t.Errorf("an epoch that is over: error is %v, want ErrNotOpen", err)
	}
}
