package redisledger_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/redisledger"
)

func TestSettleCountsOnce(t *testing.T) {
	b := newBench(t, redisledger.NoCap, time.Hour)
	batch := newBatch(b, 3)
	v := b.admit(batch)
	if got := b.votes("A"); got != 0 {
		t.Fatalf("an admitted batch shows %d votes before it is settled", got)
	}
	s := b.settlement(batch, v, map[string]int64{"A": 2, "B": 1})
	for i := range 3 {
		r := b.ledger.Settle(t.Context(), s)
		if r.Err != nil || r.How != redisledger.Settled || r.ByThis != (i == 0) {
			t.Fatalf("settle %d: %+v", i, r)
		}
		for k, name := range s.Names {
			if want := s.Counts[k]; r.Totals[k] != want {
				t.Fatalf("total of %s is %d, want %d", name, r.Totals[k], want)
			}
		}
	}
	if b.votes("A") != 2 || b.votes("B") != 1 || b.votes("C") != 0 {
		t.Fatal("tally differs from what was settled")
	}
}

func TestSettleRidesWithTheNextAdmission(t *testing.T) {
	b := newBench(t, 100, time.Hour)
	first := newBatch(b, 2)
	v := b.admit(first)
	a, s := b.ledger.Admit(t.Context(), b.fence, newBatch(b, 4), 100, b.settlement(first, v, map[string]int64{"A": 2}))
	if a.Err != nil || s.Err != nil || !s.ByThis || a.Verdict.First != 3 {
		t.Fatalf("%+v %+v", a, s)
	}
}

func TestRefundGivesBackEverything(t *testing.T) {
	b := newBench(t, 10, time.Hour)
	key := uuid.Must(uuid.NewV7())
	batch := newBatch(b, 4, keyed(key, "x"))
	v := b.admit(batch)
	ok, err := b.ledger.Refund(t.Context(), b.fence, batch, &v)
	if err != nil || !ok {
		t.Fatalf("refund: %v %v", ok, err)
	}
	if got := b.left(); got != 10 {
		t.Fatalf("%d uses left", got)
	}
	if got := codes(b.admit(newBatch(b, 0, keyed(key, "x")))); got[0] != redisledger.OK {
		t.Fatalf("the key after the refund: %s", got[0])
	}
	if ok, _ := b.ledger.Refund(t.Context(), b.fence, batch, &v); ok {
		t.Fatal("refunded twice")
	}
	r := b.ledger.Settle(t.Context(), b.settlement(batch, v, map[string]int64{"A": 5}))
	if r.How != redisledger.Refunded || b.votes("A") != 0 {
		t.Fatalf("settled after a refund: %+v", r)
	}
}

// H2: what somebody has claimed only goes forward.
func TestClaimedBatchIsNeverRefunded(t *testing.T) {
	b := newBench(t, 10, time.Hour)
	batch := newBatch(b, 4)
	v := b.admit(batch)
	c, _, err := b.ledger.Claim(t.Context(), b.fence, b.ballot, batch.ID, "other")
	if err != nil || c == nil {
		t.Fatalf("claim: %v %v", c, err)
	}
	if !bytes.Equal(c.Payload, batch.Payload) || !cmp.Equal(c.Verdict, v) {
		t.Fatalf("claimed %+v", c)
	}
	if ok, err := b.ledger.Refund(t.Context(), b.fence, batch, &v); ok || err != nil {
		t.Fatalf("refund of a claimed batch: %v %v", ok, err)
	}
	if r := b.ledger.Settle(t.Context(), b.settlement(batch, v, map[string]int64{"A": 4})); !r.ByThis {
		t.Fatalf("%+v", r)
	}
	c, how, err := b.ledger.Claim(t.Context(), b.fence, b.ballot, batch.ID, "other")
	if c != nil || how != redisledger.Settled || err != nil {
		t.Fatalf("claim of a settled batch: %v %q %v", c, how, err)
	}
}

// A batch that waited for longer than its keys are remembered is not forgotten by the one who finishes it.
func TestRememberKeepsTheKeysOfAWaitingBatch(t *testing.T) {
	b := newBench(t, 10, time.Hour)
	batch := newBatch(b, 1)
	v := b.admit(batch)
	key := uuid.Must(uuid.NewV7())
	e := keyed(key, "x")
	if err := b.ledger.Remember(t.Context(), b.fence, b.ballot, batch.ID, [][]byte{e.Key, e.BodyHash}); err != nil {
		t.Fatal(err)
	}
	want := []redisledger.EntryVerdict{{Code: redisledger.Pending, Batch: batch.ID}}
	if diff := cmp.Diff(want, b.admit(newBatch(b, 0, e)).Entries); diff != "" {
		t.Fatal(diff)
	}
	if r := b.ledger.Settle(t.Context(), b.settlement(batch, v, map[string]int64{"A": 1})); r.Err != nil {
		t.Fatal(r.Err)
	}
	late := keyed(uuid.Must(uuid.NewV7()), "x")
	if err := b.ledger.Remember(t.Context(), b.fence, b.ballot, batch.ID, [][]byte{late.Key, late.BodyHash}); err != nil {
		t.Fatal(err)
	}
	if got := codes(b.admit(newBatch(b, 0, late))); got[0] != redisledger.OK {
		t.Fatalf("%s: a settled batch needs no more memory", got[0])
	}
}

func TestDueListsWhatIsLeftBehind(t *testing.T) {
	b := newBench(t, 10, time.Hour)
	if ids, age, err := b.ledger.Due(t.Context(), b.fence, b.ballot, 0, 10); len(ids) != 0 || age >= 0 || err != nil {
		t.Fatalf("empty outbox: %v %s %v", ids, age, err)
	}
	batch := newBatch(b, 1)
	b.admit(batch)
	ids, age, err := b.ledger.Due(t.Context(), b.fence, b.ballot, time.Hour, 10)
	if len(ids) != 0 || age < 0 || err != nil {
		t.Fatalf("within its lease: %v %s %v", ids, age, err)
	}
	ids, _, err = b.ledger.Due(t.Context(), b.fence, b.ballot, 0, 10)
	if !cmp.Equal(ids, []uuid.UUID{batch.ID}) || err != nil {
		t.Fatalf("after its lease: %v %v", ids, err)
	}
}
