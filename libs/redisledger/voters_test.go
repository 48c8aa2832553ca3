package redisledger_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/redisledger"
)

// newPolls is a ballot that limits votes per voter; fresh: no vote was ever admitted before.
func newPolls(t *testing.T, perVoter int64, fresh bool) *bench {
	t.Helper()
	b := newBench(t, 100, time.Hour)
	b.fence.NS = redisledger.NewNS()
	ns := b.fence.NS
	t.Cleanup(func() { _ = b.ledger.Unlink(contextOf(t), ns) })
	b.load(redisledger.Ballot{Name: b.ballot, State: "open", VotesPerVoter: perVoter, Rules: 1}, fresh)
	b.mint(100, time.Hour)
	return b
}

func vote(voter string) redisledger.Entry {
	return redisledger.Entry{Voter: voter, VoteID: uuid.Must(uuid.NewV7())}
}

// retraction is a batch of its own kind: it has no ticket.
func retraction(b *bench, entries ...redisledger.Entry) *redisledger.Batch {
	batch := newBatch(b, 0, entries...)
	batch.Tickets = nil
	return batch
}

func takeBack(e redisledger.Entry) redisledger.Entry {
	return redisledger.Entry{Voter: e.Voter, VoteID: uuid.Must(uuid.NewV7()), Retracts: e.VoteID}
}

func (b *bench) code(batch *redisledger.Batch) redisledger.Code {
	b.t.Helper()
	return b.admit(batch).Entries[0].Code
}

func (b *bench) settle(batch *redisledger.Batch, v redisledger.Verdict, counts map[string]int64) {
	b.t.Helper()
	if r := b.ledger.Settle(b.t.Context(), b.settlement(batch, v, counts)); r.Err != nil || !r.ByThis {
		b.t.Fatalf("%+v", r)
	}
}

// cast admits and settles one vote for A.
func (b *bench) cast(e redisledger.Entry) {
	b.t.Helper()
	batch := newBatch(b, 0, e)
	v := b.admit(batch)
	if v.Accepted() != 1 {
		b.t.Fatalf("%+v", v.Entries)
	}
	b.settle(batch, v, map[string]int64{"A": 1})
}

// G7: a voter has as many votes as the ballot allows, over batches and in one.
func TestVoterLimit(t *testing.T) {
	b := newPolls(t, 2, true)
	batch := newBatch(b, 0, vote("ann"), vote("bob"), vote("ann"), vote("ann"))
	v := b.admit(batch)
	// H33: the others in the batch may still be lost, so that they are there is no reason yet to refuse the last one.
	want := []redisledger.EntryVerdict{
		{Code: redisledger.OK}, {Code: redisledger.OK}, {Code: redisledger.OK}, {Code: redisledger.Busy, Batch: batch.ID},
	}
	if diff := cmp.Diff(want, v.Entries); diff != "" {
		t.Fatal(diff)
	}
	if got := b.left(); got != 97 {
		t.Fatalf("%d uses left, want 97: a vote over the limit takes none", got)
	}
	b.settle(batch, v, map[string]int64{"A": 3})
	if got := b.code(newBatch(b, 0, vote("ann"))); got != redisledger.Limit {
		t.Fatalf("once they can't be lost: %s", got)
	}
	b.cast(vote("eve"))
	b.cast(vote("eve"))
	if got := b.code(newBatch(b, 0, vote("eve"))); got != redisledger.Limit {
		t.Fatalf("the third vote: %s", got)
	}
}

// A process may not know yet that the ballot limits votes per voter.
func TestBallotWithALimitTakesNoVoteWithoutAVoter(t *testing.T) {
	b := newPolls(t, 1, true)
	v := b.admit(newBatch(b, 3, keyed(uuid.Must(uuid.NewV7()), "x")))
	if v.Groups[0] != (redisledger.GroupVerdict{Code: redisledger.NoVoter}) || v.Entries[0].Code != redisledger.NoVoter {
		t.Fatalf("%+v", v)
	}
}

func TestVotersWithoutALimit(t *testing.T) {
	b := newPolls(t, 0, true)
	b.cast(vote("ann"))
	b.cast(vote("ann"))
	many := vote("ann")
	many.VoterState = make([]uuid.UUID, redisledger.MaxVoterVotes)
	if got := b.code(newBatch(b, 0, many)); got != redisledger.OK {
		t.Fatalf("%s: what Redis has learnt goes before what was looked up", got)
	}
	other := vote("bob")
	other.VoterState = many.VoterState
	if got := b.code(newBatch(b, 0, other)); got != redisledger.Limit {
		t.Fatalf("%s: the memory of one voter has a bound", got)
	}
}

// H16: nothing depends on what may still be lost.
func TestVoterWaitsForTheirLastBatch(t *testing.T) {
	b := newPolls(t, 3, true)
	first := vote("ann")
	batch := newBatch(b, 0, first)
	v := b.admit(batch)
	want := []redisledger.EntryVerdict{{Code: redisledger.Busy, Batch: batch.ID}}
	for what, next := range map[string]*redisledger.Batch{
		"another vote": newBatch(b, 0, vote("ann")), "the retraction": retraction(b, takeBack(first)),
	} {
		if diff := cmp.Diff(want, b.admit(next).Entries); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	b.settle(batch, v, map[string]int64{"A": 1})
	if got := b.code(newBatch(b, 0, vote("ann"))); got != redisledger.OK {
		t.Fatalf("after it was settled: %s", got)
	}
}

// What the voter did before this epoch Redis does not know.
func TestVoterIsLookedUpOnceAfterALoad(t *testing.T) {
	b := newPolls(t, 2, false)
	if got := b.code(newBatch(b, 0, vote("ann"))); got != redisledger.LookUpVoter {
		t.Fatalf("never seen in this epoch: %s", got)
	}
	full := vote("ann")
	full.VoterState = []uuid.UUID{uuid.New(), uuid.New()}
	if got := b.code(newBatch(b, 0, full)); got != redisledger.Limit {
		t.Fatalf("two votes before: %s", got)
	}
	one := vote("ann")
	one.VoterState = []uuid.UUID{uuid.New()}
	b.cast(one)
	stale := vote("ann")
	stale.VoterState = []uuid.UUID{}
	if got := b.code(newBatch(b, 0, stale)); got != redisledger.Limit {
		t.Fatalf("looked up before Redis learnt of the last vote: %s", got)
	}
	if got := b.code(newBatch(b, 0, vote("ann"))); got != redisledger.Limit {
		t.Fatalf("known in this epoch: %s", got)
	}
	none := vote("bob")
	none.VoterState = []uuid.UUID{}
	b.cast(none)
}

func TestRetractionTakesAVoteBack(t *testing.T) {
	b := newPolls(t, 1, true)
	first := vote("ann")
	b.cast(first)
	batch := retraction(b, takeBack(first))
	v := b.admit(batch)
	if v.Entries[0].Code != redisledger.OK || v.First != 2 || v.TicketVersion != "" {
		t.Fatalf("%+v", v)
	}
	if got := b.left(); got != 99 {
		t.Fatalf("%d uses left, want 99: a retraction takes none and gives none back", got)
	}
	b.settle(batch, v, map[string]int64{"A": -1})
	if got := b.votes("A"); got != 0 {
		t.Fatalf("%d votes", got)
	}
	if got := b.code(retraction(b, takeBack(first))); got != redisledger.NoVote {
		t.Fatalf("retracted twice: %s", got)
	}
	b.cast(vote("ann")) // the limit counts votes that count
	foreign := takeBack(first)
	foreign.Voter = "bob"
	if got := b.code(retraction(b, foreign)); got != redisledger.NoVote {
		t.Fatalf("another voter's vote: %s", got)
	}
}

func TestRetractionNeedsAnOpenBallotAndNoTicket(t *testing.T) {
	b := newPolls(t, 1, true)
	first := vote("ann")
	b.cast(first)
	closed := redisledger.Ballot{Name: b.ballot, State: "closed", VotesPerVoter: 1, Rules: 2}
	if err := b.ledger.PutRules(t.Context(), b.fence, closed); err != nil {
		t.Fatal(err)
	}
	if got := b.code(retraction(b, takeBack(first))); got != redisledger.Closed {
		t.Fatalf("after the end: %s", got)
	}
	b.fence.NS = redisledger.NewNS()
	b.load(redisledger.Ballot{Name: b.ballot, State: "open", VotesPerVoter: 1, Rules: 1}, false)
	known := takeBack(first)
	if got := b.code(retraction(b, known)); got != redisledger.LookUpVoter {
		t.Fatalf("of an epoch before: %s", got)
	}
	known.VoterState = []uuid.UUID{uuid.New(), first.VoteID}
	if got := b.code(retraction(b, known)); got != redisledger.OK {
		t.Fatalf("without any ticket: %s", got)
	}
}

// A retraction is idempotent by its own key, as a vote is.
func TestRetractionWithAKey(t *testing.T) {
	b := newPolls(t, 1, true)
	first := vote("ann")
	b.cast(first)
	e := keyed(uuid.Must(uuid.NewV7()), "retract")
	e.Voter, e.VoteID, e.Retracts = "ann", uuid.UUID(e.Key), first.VoteID
	batch := retraction(b, e)
	v := b.admit(batch)
	want := []redisledger.EntryVerdict{{Code: redisledger.Pending, Batch: batch.ID}}
	if diff := cmp.Diff(want, b.admit(retraction(b, e)).Entries); diff != "" {
		t.Fatal(diff)
	}
	b.settle(batch, v, map[string]int64{"A": -1})
	want = []redisledger.EntryVerdict{{Code: redisledger.Same, Batch: batch.ID}}
	if diff := cmp.Diff(want, b.admit(retraction(b, e)).Entries); diff != "" {
		t.Fatal(diff)
	}
}

func TestRefundRestoresTheVoters(t *testing.T) {
	b := newPolls(t, 1, true)
	refund := func(batch *redisledger.Batch) {
		t.Helper()
		v := b.admit(batch)
		if v.Accepted() == 0 {
			t.Fatalf("%+v", v)
		}
		if ok, err := b.ledger.Refund(t.Context(), b.fence, batch, &v); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	refund(newBatch(b, 0, vote("ann"), vote("bob")))
	first := vote("ann")
	b.cast(first)
	refund(retraction(b, takeBack(first)))
	if got := b.left(); got != 99 {
		t.Fatalf("%d uses left, want 99", got)
	}
	if got := b.code(newBatch(b, 0, vote("ann"))); got != redisledger.Limit {
		t.Fatalf("%s: the retraction never was", got)
	}
	if got := b.code(retraction(b, takeBack(first))); got != redisledger.OK {
		t.Fatalf("%s: the vote can be retracted still", got)
	}
}
