package redisledger_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/redisledger"
)

func TestNewerRulesHoldAtOnce(t *testing.T) {
	b := newBench(t, 100, time.Hour)
	admits := func() bool { return b.admit(newBatch(b, 1)).Groups[0].Accepted == 1 }
	put := func(rules redisledger.Ballot) {
		t.Helper()
		rules.Name = b.ballot
		if err := b.ledger.PutRules(t.Context(), b.fence, rules); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	for i, step := range []struct {
		rules redisledger.Ballot
		want  bool
	}{
		{redisledger.Ballot{Rules: 3, State: "paused"}, false},
		{redisledger.Ballot{Rules: 2, State: "open"}, false}, // an older one that comes late
		{redisledger.Ballot{Rules: 3, State: "open"}, false}, // the same
		{redisledger.Ballot{Rules: 10, State: "open"}, true}, // versions are numbers: 10 is later than 3
		{redisledger.Ballot{Rules: 11, State: "open", ClosesAt: now.Add(-time.Minute)}, false},
		{redisledger.Ballot{Rules: 12, State: "open", OpensAt: now.Add(time.Minute)}, false},
		{redisledger.Ballot{Rules: 13, State: "open"}, true},
		{redisledger.Ballot{Rules: 14, State: "open", VotesPerVoter: 1}, false},
	} {
		put(step.rules)
		if got := admits(); got != step.want {
			t.Errorf("step %d, %+v: admits %v", i, step.rules, got)
		}
	}
	lost := redisledger.Fence{Epoch: b.fence.Epoch, NS: "elsewhere"}
	if err := b.ledger.PutRules(t.Context(), lost, redisledger.Ballot{Name: b.ballot}); !errors.Is(err, redisledger.ErrWrongEpoch) {
		t.Fatalf("rules make no marker: %v", err)
	}
}

// A batch's id tells those who keep applied batches how old it is.
func TestBatchFromAnotherTimeIsRefused(t *testing.T) {
	b := newBench(t, 100, time.Hour)
	key := keyed(uuid.Must(uuid.NewV7()), "x")
	held := newBatch(b, 0, key)
	b.admit(held)
	for off, want := range map[time.Duration]redisledger.Code{
		0: redisledger.OK, redisledger.ClockBound - time.Minute: redisledger.OK, time.Minute - redisledger.ClockBound: redisledger.OK,
		redisledger.ClockBound + time.Minute: redisledger.Clock, -redisledger.ClockBound - time.Minute: redisledger.Clock,
	} {
		batch := newBatch(b, 1, key)
		batch.ID = uuidV7At(time.Now().Add(off))
		v := b.admit(batch)
		if v.Groups[0].Code != want {
			t.Errorf("%s away: %s, want %s", off, v.Groups[0].Code, want)
		}
		if v.Entries[0].Code != redisledger.Pending {
			t.Errorf("%s away: %s: a key that was seen is answered for", off, v.Entries[0].Code)
		}
	}
}

// H22: a cut is one moment: what is not in the tally yet stands in it by name.
func TestCutIsExact(t *testing.T) {
	b := newBench(t, 100, time.Hour)
	settled, waiting, keyless := newBatch(b, 3), newBatch(b, 2, keyed(uuid.Must(uuid.NewV7()), "x")), newBatch(b, 1)
	b.settle(settled, b.admit(settled), map[string]int64{"A": 2, "B": 1})
	b.admit(waiting)
	b.admit(keyless)
	c, err := b.ledger.Cut(t.Context(), b.fence, b.ballot)
	if err != nil {
		t.Fatal(err)
	}
	want := redisledger.Cut{
		At: c.At, Admissions: 7, Tally: map[string]int64{"A": 2, "B": 1},
		Waiting: []redisledger.Waiting{{Batch: waiting.ID, First: 4, Votes: 3}, {Batch: keyless.ID, First: 7, Votes: 1}},
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Fatal(diff)
	}
}

func TestCutIsRefusedWhenItWouldHoldRedis(t *testing.T) {
	b := newBench(t, redisledger.NoCap, time.Hour)
	for range 1001 {
		if a, _ := b.ledger.Admit(t.Context(), b.fence, newBatch(b, 1), 2000, nil); a.Err != nil {
			t.Fatal(a.Err)
		}
	}
	if _, err := b.ledger.Cut(t.Context(), b.fence, b.ballot); !errors.Is(err, redisledger.ErrManyWaiting) {
		t.Fatal(err)
	}
}

func TestKeyStatus(t *testing.T) {
	b := newBench(t, 100, time.Hour)
	key := uuid.Must(uuid.NewV7())
	is := func(want redisledger.KeyState, wantBatch uuid.UUID) {
		t.Helper()
		got, batch, err := b.ledger.KeyStatus(t.Context(), b.fence, b.ballot, key)
		if err != nil || got != want || batch != wantBatch {
			t.Fatalf("%s %s %v, want %s %s", got, batch, err, want, wantBatch)
		}
	}
	is(redisledger.KeyAbsent, uuid.Nil)
	batch := newBatch(b, 0, keyed(key, "x"))
	v := b.admit(batch)
	is(redisledger.KeyPending, batch.ID)
	b.settle(batch, v, nil)
	is(redisledger.KeySettled, batch.ID)
}

// H10: until its last script a load is nobody's ledger; and the last one wants the node and the marker of the first.
func TestLoadIsFencedUntilItsEnd(t *testing.T) {
	for name, spoil := range map[string]func(b *bench) error{
		"another node": func(b *bench) error { b.mark("replid", "0123456789012345678901234567890123456789"); return nil },
		"sealed":       func(b *bench) error { return b.ledger.Seal(b.t.Context(), b.fence, "late") },
		"lost":         func(b *bench) error { return b.ledger.Unlink(b.t.Context(), b.fence.NS) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, 10, time.Hour)
			b.ballot = "late"
			err := b.ledger.LoadNew(t.Context(), b.fence, redisledger.Ballot{Name: "late", State: "open"}, func(ctx context.Context) error {
				if err := b.ledger.Alive(ctx, b.fence, "late"); !errors.Is(err, redisledger.ErrWrongEpoch) {
					return fmt.Errorf("it is alive before its end: %w", err)
				}
				return spoil(b)
			})
			if !errors.Is(err, redisledger.ErrWrongEpoch) {
				t.Fatal(err)
			}
			if err := b.ledger.Alive(t.Context(), b.fence, "late"); !errors.Is(err, redisledger.ErrWrongEpoch) {
				t.Fatal(err)
			}
		})
	}
}

// What was sealed stays sealed, if there was nothing to seal, too; and a name that is in use is not loaded again.
func TestSealIsForGood(t *testing.T) {
	b := newBench(t, 10, time.Hour)
	for _, ballot := range []string{b.ballot, "missing"} {
		if err := b.ledger.Seal(t.Context(), b.fence, ballot); err != nil {
			t.Fatal(err)
		}
		rules := redisledger.Ballot{Name: ballot, State: "open", Rules: 99}
		for what, err := range map[string]error{
			"load":  b.ledger.Load(t.Context(), b.fence, rules, true),
			"rules": b.ledger.PutRules(t.Context(), b.fence, rules),
			"alive": b.ledger.Alive(t.Context(), b.fence, ballot),
		} {
			if !errors.Is(err, redisledger.ErrWrongEpoch) {
				t.Errorf("%s of %s: %v", what, ballot, err)
			}
		}
	}
	used := newBench(t, 10, time.Hour)
	err := used.ledger.Load(t.Context(), used.fence, redisledger.Ballot{Name: used.ballot, State: "open"}, true)
	if !errors.Is(err, redisledger.ErrWrongEpoch) {
		t.Fatalf("a second load of the name: %v", err)
	}
}
