package redisledger_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/testenv"
)

func TestAdmitTakesUsesUpToTheCap(t *testing.T) {
	b := newBench(t, 10, time.Hour)
	v := b.admit(newBatch(b, 7))
	if diff := cmp.Diff([]redisledger.GroupVerdict{{Accepted: 7, Code: redisledger.OK}}, v.Groups); diff != "" {
		t.Fatal(diff)
	}
	if v.First != 1 || v.TicketVersion != "7.1.0" {
		t.Fatalf("first %d on %q", v.First, v.TicketVersion)
	}
	v = b.admit(newBatch(b, 7))
	if diff := cmp.Diff([]redisledger.GroupVerdict{{Accepted: 3, Code: redisledger.Exhausted}}, v.Groups); diff != "" {
		t.Fatal(diff)
	}
	if v.First != 8 {
		t.Fatalf("first is %d, want 8: admission numbers have no gap", v.First)
	}
	if got := b.left(); got != 0 {
		t.Fatalf("%d uses left", got)
	}
	if v := b.admit(newBatch(b, 1, keyed(uuid.Must(uuid.NewV7()), "x"))); v.Accepted() != 0 {
		t.Fatal("admitted over the cap")
	}
}

func TestCapHoldsUnderConcurrency(t *testing.T) {
	b := newBench(t, 500, time.Hour)
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		total int
	)
	for range 8 {
		wg.Go(func() {
			for range 20 {
				a, _ := b.ledger.Admit(t.Context(), b.fence, newBatch(b, 7), 1000, nil)
				if a.Err != nil {
					t.Error(a.Err)
					return
				}
				mu.Lock()
				total += a.Verdict.Accepted()
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if total != 500 {
		t.Fatalf("%d admitted, want exactly the cap of 500", total)
	}
}

// H13, H14: what an admission decided stays decided, whatever has happened since.
func TestAdmitIsIdempotentByBatchID(t *testing.T) {
	b := newBench(t, 10, 200*time.Millisecond)
	batch := newBatch(b, 4, keyed(uuid.Must(uuid.NewV7()), "x"))
	first := b.admit(batch)
	if first.Accepted() != 5 {
		t.Fatalf("%+v", first)
	}
	testenv.Eventually(t, 5*time.Second, func() error { // until the ticket has expired
		if state, err := b.ledger.Ticket(t.Context(), b.fence, b.ballot); err != nil || state.Usable() {
			return fmt.Errorf("still usable (%w)", err)
		}
		return nil
	})
	if diff := cmp.Diff(first, b.admit(batch)); diff != "" {
		t.Fatalf("sent again it says something else (-first +again):\n%s", diff)
	}
	known, ok := b.ledger.Known(t.Context(), b.fence, b.ballot, batch.ID)
	if !ok || !cmp.Equal(first, known) {
		t.Fatalf("known: %v %+v", ok, known)
	}
	if _, ok := b.ledger.Known(t.Context(), b.fence, b.ballot, uuid.Must(uuid.NewV7())); ok {
		t.Fatal("a batch that never came is known")
	}
}

func TestTicketsThatDoNotAdmit(t *testing.T) {
	b := newBench(t, 10, time.Second) // long enough to be seen on a busy machine
	first := "ticket-1"
	b.mint(10, time.Second)
	group := func(ticket string) redisledger.Code {
		batch := newBatch(b, 1)
		batch.Tickets[0] = ticket
		return b.admit(batch).Groups[0].Code
	}
	if got := group("ticket-2"); got != redisledger.Superseded {
		t.Errorf("a ticket before its time: %s", got)
	}
	wait := func(version string, usable bool) {
		testenv.Eventually(t, 5*time.Second, func() error {
			state, err := b.ledger.Ticket(t.Context(), b.fence, b.ballot)
			if err != nil || state.Newest.Version != version || state.Usable() != usable {
				return fmt.Errorf("%+v %w", state.Newest, err)
			}
			return nil
		})
	}
	wait("7.2.0", true)
	if got := group(first); got != redisledger.Superseded {
		t.Errorf("the ticket before the newest: %s", got)
	}
	wait("7.2.0", false)
	for _, value := range []string{"ticket-2", ""} {
		if got := group(value); got != redisledger.Expired {
			t.Errorf("%q after its time: %s", value, got)
		}
	}
}

func TestBallotMustBeOpen(t *testing.T) {
	now := time.Now()
	for name, ballot := range map[string]redisledger.Ballot{
		"paused":         {State: "paused"},
		"not yet open":   {State: "open", OpensAt: now.Add(time.Hour)},
		"closed by time": {State: "open", ClosesAt: now.Add(-time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, 10, time.Hour)
			ballot.Name = b.ballot
			b.fence.NS = redisledger.NewNS()
			b.load(ballot, true)
			b.mint(10, time.Hour)
			v := b.admit(newBatch(b, 1, keyed(uuid.Must(uuid.NewV7()), "x")))
			if v.Groups[0].Code != redisledger.Closed || v.Entries[0].Code != redisledger.Closed || b.left() != 10 {
				t.Fatalf("%+v, %d left", v, b.left())
			}
		})
	}
}

func TestOutboxIsBounded(t *testing.T) {
	b := newBench(t, 10, time.Hour)
	for i := range 3 {
		a, _ := b.ledger.Admit(t.Context(), b.fence, newBatch(b, 1), 2, nil)
		want := redisledger.OK
		if i == 2 {
			want = redisledger.Overloaded
		}
		if a.Err != nil || a.Verdict.Groups[0].Code != want {
			t.Fatalf("batch %d: %+v, want %s", i, a, want)
		}
	}
}

func TestOpenListIsBounded(t *testing.T) {
	b := newBench(t, 100, time.Hour)
	vote := func(names ...string) redisledger.Code {
		batch := newBatch(b, 0, redisledger.Entry{NewNames: names})
		batch.MaxNames = 3
		return b.admit(batch).Entries[0].Code
	}
	for _, c := range []struct {
		names []string
		want  redisledger.Code
	}{
		{[]string{"a", "b", "a"}, redisledger.OK},
		{[]string{"c", "d"}, redisledger.Names},
		{[]string{"a", "c"}, redisledger.OK},
		{[]string{"d"}, redisledger.Names},
		{[]string{"b", "c"}, redisledger.OK},
	} {
		if got := vote(c.names...); got != c.want {
			t.Fatalf("%v: %s, want %s", c.names, got, c.want)
		}
	}
	if got := b.left(); got != 97 {
		t.Fatalf("%d uses left, want 97: a refused vote takes none", got)
	}
}
