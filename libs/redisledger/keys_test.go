package redisledger_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/redisledger"
)

// H1: a key that was seen is a success only once its batch is settled.
func TestSeenKeyPointsToItsBatch(t *testing.T) {
	b := newBench(t, 100, time.Hour)
	key := uuid.Must(uuid.NewV7())
	first := newBatch(b, 0, keyed(key, "A"))
	v := b.admit(first)
	again := b.admit(newBatch(b, 0, keyed(key, "A")))
	want := []redisledger.EntryVerdict{{Code: redisledger.Pending, Batch: first.ID}}
	if diff := cmp.Diff(want, again.Entries); diff != "" {
		t.Fatal(diff)
	}
	if r := b.ledger.Settle(t.Context(), b.settlement(first, v, map[string]int64{"A": 1})); r.Err != nil {
		t.Fatal(r.Err)
	}
	again = b.admit(newBatch(b, 0, keyed(key, "A")))
	want = []redisledger.EntryVerdict{{Code: redisledger.Same, Batch: first.ID}}
	if diff := cmp.Diff(want, again.Entries); diff != "" {
		t.Fatal(diff)
	}
	if got := codes(b.admit(newBatch(b, 0, keyed(key, "B")))); got[0] != redisledger.Reused {
		t.Fatalf("another body under the same key: %s", got[0])
	}
	if got := b.left(); got != 99 {
		t.Fatalf("%d uses left, want 99: a retry takes none", got)
	}
}

func uuidV7At(at time.Time) uuid.UUID {
	id := uuid.Must(uuid.NewV7())
	ms := at.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (8 * (5 - i)))
	}
	return id
}

// H20, H21: only a key that this Redis must know may be judged by Redis alone.
func TestKeysThatAreNotYoungMustBeLookedUp(t *testing.T) {
	b := newBench(t, 100, time.Hour)
	state, err := b.ledger.Ticket(t.Context(), b.fence, b.ballot)
	if err != nil {
		t.Fatal(err)
	}
	now := state.Now
	for _, c := range []struct {
		name string
		key  uuid.UUID
		want redisledger.Code
	}{
		{"now", uuidV7At(now), redisledger.OK},
		{"a minute old", uuidV7At(now.Add(-time.Minute)), redisledger.OK},
		{"three minutes old", uuidV7At(now.Add(-3 * time.Minute)), redisledger.LookUp},
		{"half a minute ahead", uuidV7At(now.Add(30 * time.Second)), redisledger.OK},
		{"an hour ahead", uuidV7At(now.Add(time.Hour)), redisledger.LookUp},
		{"not of version 7", uuid.New(), redisledger.LookUp},
	} {
		if got := codes(b.admit(newBatch(b, 0, keyed(c.key, "x")))); got[0] != c.want {
			t.Errorf("%s: %s, want %s", c.name, got[0], c.want)
		}
	}
	// H30: its time will come when Redis has forgotten it.
	future := keyed(uuidV7At(now.Add(10*time.Minute)), "x")
	future.LookedUp = true
	if got := codes(b.admit(newBatch(b, 0, future))); got[0] != redisledger.Ahead {
		t.Errorf("ten minutes ahead, looked up: %s", got[0])
	}
	old := keyed(uuid.New(), "x")
	old.LookedUp = true
	if got := codes(b.admit(newBatch(b, 0, old))); got[0] != redisledger.OK {
		t.Errorf("looked up: %s", got[0])
	}
	if got := codes(b.admit(newBatch(b, 0, old))); got[0] != redisledger.Pending {
		t.Errorf("the same again: %s", got[0])
	}
}

func TestAfterALoadYoungKeysOfTheOldEpochMustBeLookedUp(t *testing.T) {
	b := newBench(t, 100, time.Hour)
	b.fence.NS = redisledger.NewNS()
	b.load(redisledger.Ballot{Name: b.ballot, State: "open"}, false)
	b.mint(100, time.Hour)
	if got := codes(b.admit(newBatch(b, 0, keyed(uuid.Must(uuid.NewV7()), "x")))); got[0] != redisledger.LookUp {
		t.Fatalf("%s: the key may have been admitted before the load", got[0])
	}
}

// H14: what is decided already comes before what time changes. The batch's id was lost with its owner; the key is the
// client's.
func TestKeyIsLookedAtBeforeTimeAndLimits(t *testing.T) {
	for name, spoil := range map[string]func(b *bench){
		"the ballot is closed": func(b *bench) {
			rules := redisledger.Ballot{Name: b.ballot, State: "closed", VotesPerVoter: 1, Rules: 2}
			if err := b.ledger.PutRules(b.t.Context(), b.fence, rules); err != nil {
				b.t.Fatal(err)
			}
		},
		"the ticket is used up": func(b *bench) {
			if v := b.admit(newBatch(b, 0, vote("bob"), vote("eve"))); v.Accepted() != 1 {
				b.t.Fatalf("%+v", v)
			}
		},
		"the voter's votes are": func(*bench) {},
	} {
		t.Run(name, func(t *testing.T) {
			b := newContest(t, redisledger.Ballot{Name: "main", VotesPerVoter: 1}, true)
			b.mint(2, time.Hour)
			e := keyed(uuid.Must(uuid.NewV7()), "x")
			e.Voter, e.VoteID = "ann", uuid.UUID(e.Key)
			batch := newBatch(b, 0, e)
			v := b.admit(batch)
			spoil(b)
			want := []redisledger.EntryVerdict{{Code: redisledger.Pending, Batch: batch.ID}}
			if diff := cmp.Diff(want, b.admit(newBatch(b, 0, e)).Entries); diff != "" {
				t.Fatalf("before it is settled: %s", diff)
			}
			b.settle(batch, v, map[string]int64{"A": 1})
			want[0].Code = redisledger.Same
			if diff := cmp.Diff(want, b.admit(newBatch(b, 0, e)).Entries); diff != "" {
				t.Fatalf("after: %s", diff)
			}
		})
	}
}
