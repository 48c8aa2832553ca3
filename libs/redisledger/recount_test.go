package redisledger_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/littlevote/littlevote/libs/redisledger"
)

func TestCountsAreSetOnceTheBallotIsDrained(t *testing.T) {
	b := newBench(t, 100, time.Hour)
	settled, waiting := newBatch(b, 3), newBatch(b, 2)
	b.settle(settled, b.admit(settled), map[string]int64{"A": 2, "B": 1})
	held := b.admit(waiting)
	set := func(admissions, a int64) error {
		return b.ledger.SetCounts(t.Context(), b.fence, b.ballot, admissions, []redisledger.Count{{Name: "A", Votes: a, UpdatedAt: time.Now()}})
	}
	state := func(name string, version int64) {
		t.Helper()
		rules := redisledger.Ballot{Name: b.ballot, State: name, Rules: version}
		if err := b.ledger.PutRules(t.Context(), b.fence, rules); err != nil {
			t.Fatal(err)
		}
	}
	has := func(admissions int64, want map[string]int64) {
		t.Helper()
		c, err := b.ledger.Cut(t.Context(), b.fence, b.ballot)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, c.Tally); diff != "" || c.Admissions != admissions {
			t.Errorf("%d admissions, want %d:\n%s", c.Admissions, admissions, diff)
		}
	}
	refused := func(why string) {
		t.Helper()
		if err := set(6, 1); !errors.Is(err, redisledger.ErrNotDrained) {
			t.Errorf("%s: %v", why, err)
		}
		has(5, map[string]int64{"A": 2, "B": 1})
	}
	refused("open")
	state("closed", 1)
	refused("a batch waits")
	b.settle(waiting, held, map[string]int64{"B": 2})
	if err := set(6, 1); err != nil {
		t.Fatal(err)
	}
	has(6, map[string]int64{"A": 1})
	// Late ones change nothing, the same again does no harm, and newer ones count, be it certified by then.
	state("certified", 2)
	for _, step := range []struct{ admissions, a int64 }{{5, 9}, {6, 1}} {
		if err := set(step.admissions, step.a); err != nil {
			t.Fatal(err)
		}
		has(6, map[string]int64{"A": 1})
	}
	if err := set(7, 0); err != nil {
		t.Fatal(err)
	}
	has(7, map[string]int64{"A": 0})
}
