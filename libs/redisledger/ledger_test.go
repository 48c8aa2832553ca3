package redisledger_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/testenv"
)

// bench is a ballot under a fresh name, on whichever Redis the environment gives.
type bench struct {
	t      *testing.T
	ledger *redisledger.Ledger
	fence  redisledger.Fence
	ballot string
}

func newBench(t *testing.T, limit int64, interval time.Duration) *bench {
	t.Helper()
	rdb, err := redisledger.Open(testenv.Redis(t), 50, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	b := &bench{t: t, ledger: redisledger.New(rdb), ballot: "main"}
	role, err := b.ledger.Replication(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b.fence = redisledger.Fence{Epoch: 7, NS: redisledger.NewNS(), ReplID: role.ReplID}
	t.Cleanup(func() { _ = b.ledger.Unlink(contextOf(t), b.fence.NS) })
	b.load(redisledger.Ballot{Name: b.ballot, State: "open"}, true)
	b.mint(limit, interval)
	return b
}

func (b *bench) load(ballot redisledger.Ballot, fresh bool) {
	b.t.Helper()
	if err := b.ledger.Load(b.t.Context(), b.fence, ballot, fresh); err != nil {
		b.t.Fatal(err)
	}
}

// mint makes the next ticket and returns its value.
func (b *bench) mint(limit int64, interval time.Duration) string {
	b.t.Helper()
	state, err := b.ledger.Ticket(b.t.Context(), b.fence, b.ballot)
	if err != nil {
		b.t.Fatal(err)
	}
	n := state.LastNumber + 1
	value := fmt.Sprintf("ticket-%d", n)
	done, _, _, err := b.ledger.Mint(b.t.Context(), b.fence, b.ballot, redisledger.Mint{
		Number: n, Version: fmt.Sprintf("7.%d.0", n), Value: value, Cap: limit, Interval: interval,
	})
	if err != nil || done != redisledger.MintDone {
		b.t.Fatalf("mint: %v %v", done, err)
	}
	return value
}

func newBatch(b *bench, votes int, entries ...redisledger.Entry) *redisledger.Batch {
	batch := &redisledger.Batch{
		ID: uuid.Must(uuid.NewV7()), Ballot: b.ballot, Payload: []byte("payload\nof many\x00bytes"),
		Tickets: []string{""}, Entries: entries,
	}
	if votes > 0 {
		batch.Groups = []redisledger.Group{{Votes: votes}}
	}
	return batch
}

func keyed(key uuid.UUID, body string) redisledger.Entry {
	hash := sha256.Sum256([]byte(body))
	return redisledger.Entry{Key: key[:], BodyHash: hash[:16]}
}

func (b *bench) admit(batch *redisledger.Batch) redisledger.Verdict {
	b.t.Helper()
	a, _ := b.ledger.Admit(b.t.Context(), b.fence, batch, 100, nil)
	if a.Err != nil {
		b.t.Fatal(a.Err)
	}
	return a.Verdict
}

func (b *bench) settlement(batch *redisledger.Batch, v redisledger.Verdict, counts map[string]int64) *redisledger.Settlement {
	s := &redisledger.Settlement{Fence: b.fence, ID: batch.ID, Ballot: b.ballot, AdmittedAt: v.At}
	for name, n := range counts {
		s.Names, s.Counts = append(s.Names, name), append(s.Counts, n)
	}
	return s
}

func (b *bench) votes(name string) int64 {
	b.t.Helper()
	counts, _, err := b.ledger.Tally(b.t.Context(), b.fence, b.ballot, []string{name})
	if err != nil {
		b.t.Fatal(err)
	}
	return counts[0].Votes
}

func (b *bench) left() int64 {
	b.t.Helper()
	state, err := b.ledger.Ticket(b.t.Context(), b.fence, b.ballot)
	if err != nil {
		b.t.Fatal(err)
	}
	return state.Newest.Left
}

func codes(v redisledger.Verdict) []redisledger.Code {
	var out []redisledger.Code
	for _, e := range v.Entries {
		out = append(out, e.Code)
	}
	return out
}

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

func TestTicketsThatDoNotAdmit(t *testing.T) {
	b := newBench(t, 10, 150*time.Millisecond)
	first := "ticket-1"
	b.mint(10, 150*time.Millisecond)
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
			b.load(ballot, true)
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

// H7, H10, H11: no script acts on a ledger that is not the epoch's.
func TestEveryScriptIsFenced(t *testing.T) {
	for name, spoil := range map[string]func(b *bench){
		"another epoch": func(b *bench) { b.fence.Epoch++ },
		"another name":  func(b *bench) { b.fence.NS = redisledger.NewNS() },
		"sealed": func(b *bench) {
			if err := b.ledger.Seal(b.t.Context(), b.fence, b.ballot); err != nil {
				b.t.Fatal(err)
			}
		},
		"another primary": func(b *bench) { b.fence.ReplID = "0123456789012345678901234567890123456789" },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, 10, time.Hour)
			batch := newBatch(b, 1)
			v := b.admit(batch)
			spoil(b)
			a, s := b.ledger.Admit(t.Context(), b.fence, newBatch(b, 1), 10, b.settlement(batch, v, map[string]int64{"A": 1}))
			_, _, claim := b.ledger.Claim(t.Context(), b.fence, b.ballot, batch.ID, "me")
			_, refund := b.ledger.Refund(t.Context(), b.fence, batch, &v)
			_, _, due := b.ledger.Due(t.Context(), b.fence, b.ballot, 0, 1)
			_, _, tally := b.ledger.Tally(t.Context(), b.fence, b.ballot, nil)
			_, ticket := b.ledger.Ticket(t.Context(), b.fence, b.ballot)
			_, _, _, mint := b.ledger.Mint(t.Context(), b.fence, b.ballot, redisledger.Mint{Number: 2})
			for what, err := range map[string]error{
				"admit": a.Err, "settle": s.Err, "claim": claim, "refund": refund, "due": due, "tally": tally,
				"ticket": ticket, "mint": mint,
			} {
				if err != redisledger.ErrWrongEpoch { //nolint:errorlint // the sentinel itself
					t.Errorf("%s: %v", what, err)
				}
			}
			if _, ok := b.ledger.Known(t.Context(), b.fence, b.ballot, batch.ID); ok {
				t.Error("known")
			}
		})
	}
}

func TestLoadedCountsAreTheBase(t *testing.T) {
	b := newBench(t, 10, time.Hour)
	b.fence.NS = redisledger.NewNS()
	at := time.UnixMilli(1_700_000_000_123)
	var counts []redisledger.Count
	for i := range 1200 {
		counts = append(counts, redisledger.Count{Name: fmt.Sprintf("n%d", i), Votes: 1<<53 + int64(i), UpdatedAt: at})
	}
	b.load(redisledger.Ballot{Name: b.ballot, State: "open", Admissions: 41, Counts: counts}, false)
	b.mint(10, time.Hour)
	batch := newBatch(b, 1)
	v := b.admit(batch)
	if v.First != 42 {
		t.Fatalf("admission number %d, want 42", v.First)
	}
	r := b.ledger.Settle(t.Context(), b.settlement(batch, v, map[string]int64{"n1": 1}))
	if r.Err != nil || r.Totals[0] != 1<<53+2 {
		t.Fatalf("%+v: counts past 2^53 must stay exact", r)
	}
	all, _, err := b.ledger.Tally(t.Context(), b.fence, b.ballot, nil)
	if err != nil || len(all) != 1200 {
		t.Fatalf("%d counts, %v", len(all), err)
	}
	some, _, err := b.ledger.Tally(t.Context(), b.fence, b.ballot, []string{"n7", "nobody"})
	want := []redisledger.Count{{Name: "n7", Votes: 1<<53 + 7, UpdatedAt: at}, {Name: "nobody"}}
	if diff := cmp.Diff(want, some); err != nil || diff != "" {
		t.Fatal(err, diff)
	}
}

func TestUnlinkLeavesNothing(t *testing.T) {
	b := newBench(t, 10, time.Hour)
	b.admit(newBatch(b, 1, keyed(uuid.Must(uuid.NewV7()), "x")))
	if err := b.ledger.Unlink(t.Context(), b.fence.NS); err != nil {
		t.Fatal(err)
	}
	rdb, err := redisledger.Open(testenv.Redis(t), 5, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer rdb.Close()
	keys, err := rdb.Keys(t.Context(), redisledger.Pattern(b.fence.NS)).Result()
	if err != nil || len(keys) != 0 {
		t.Fatalf("%v %v", keys, err)
	}
}

// Whatever is admitted, refunded, settled, in whatever order and however often: uses, outbox and tally add up.
func TestAnyScheduleAddsUp(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		const limit = 60
		b := newBench(t, limit, time.Hour)
		type held struct {
			batch   *redisledger.Batch
			verdict redisledger.Verdict
			claimed bool
		}
		var open, closed []*held
		var settled int64
		for range 80 {
			switch n := rng.IntN(5); {
			case n < 2 || len(open) == 0:
				batch := newBatch(b, rng.IntN(4)+1, keyed(uuid.Must(uuid.NewV7()), "x"))
				if v := b.admit(batch); v.Accepted() > 0 {
					open = append(open, &held{batch: batch, verdict: v})
				}
			case n == 2:
				h := open[rng.IntN(len(open))]
				h.claimed = true
				if _, _, err := b.ledger.Claim(t.Context(), b.fence, b.ballot, h.batch.ID, "x"); err != nil {
					t.Fatal(err)
				}
			default:
				i := rng.IntN(len(open))
				h := open[i]
				s := b.settlement(h.batch, h.verdict, map[string]int64{"A": int64(h.verdict.Accepted())})
				if n == 3 {
					if r := b.ledger.Settle(t.Context(), s); !r.ByThis {
						t.Fatalf("seed %d: %+v", seed, r)
					}
					settled += int64(h.verdict.Accepted())
				} else if ok, err := b.ledger.Refund(t.Context(), b.fence, h.batch, &h.verdict); err != nil || ok == h.claimed {
					t.Fatalf("seed %d: refund %v of claimed %v, %v", seed, ok, h.claimed, err)
				} else if !ok {
					continue
				}
				open = append(open[:i], open[i+1:]...)
				closed = append(closed, h)
			}
		}
		for _, h := range closed { // late repeats change nothing
			s := b.settlement(h.batch, h.verdict, map[string]int64{"A": int64(h.verdict.Accepted())})
			if r := b.ledger.Settle(t.Context(), s); r.Err != nil || r.ByThis {
				t.Fatalf("seed %d: %+v", seed, r)
			}
		}
		var waiting int64
		for _, h := range open {
			waiting += int64(h.verdict.Accepted())
		}
		if b.votes("A") != settled || b.left() != limit-settled-waiting {
			t.Fatalf("seed %d: tally %d, settled %d, waiting %d, left %d of %d", seed, b.votes("A"), settled, waiting, b.left(), limit)
		}
	}
}
