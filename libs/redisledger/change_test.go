package redisledger_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/redisledger"
)

// instead is a vote in the place of another.
func instead(e redisledger.Entry) redisledger.Entry {
	n := e
	n.VoteID, n.Retracts, n.Replaces = uuid.Must(uuid.NewV7()), e.VoteID, true
	return n
}

func TestChangeOfMindIsOneAct(t *testing.T) {
	b := newPolls(t, 1, true)
	first := vote("ann")
	b.cast(first)
	second := instead(first)
	batch := newBatch(b, 0, second)
	v := b.admit(batch)
	if v.Entries[0].Code != redisledger.OK || v.TicketVersion == "" {
		t.Fatalf("a voter who has no vote left may change: %+v", v)
	}
	if got := b.left(); got != 98 {
		t.Fatalf("%d uses left, want 98: a change takes one", got)
	}
	b.settle(batch, v, map[string]int64{"A": -1, "B": 1})
	if b.votes("A") != 0 || b.votes("B") != 1 {
		t.Fatalf("A has %d, B %d", b.votes("A"), b.votes("B"))
	}
	for what, c := range map[string]struct {
		batch *redisledger.Batch
		want  redisledger.Code
	}{
		"one more vote":                {newBatch(b, 0, vote("ann")), redisledger.Limit},
		"the old vote is changed":      {newBatch(b, 0, instead(first)), redisledger.NoVote},
		"the old vote is taken back":   {retraction(b, takeBack(first)), redisledger.NoVote},
		"somebody else's vote changed": {newBatch(b, 0, instead(redisledger.Entry{Voter: "bob", VoteID: second.VoteID})), redisledger.NoVote},
		"nobody's":                     {newBatch(b, 0, redisledger.Entry{Retracts: second.VoteID, Replaces: true}), redisledger.NoVoter},
	} {
		if got := b.code(c.batch); got != c.want {
			t.Errorf("%s: %s, want %s", what, got, c.want)
		}
	}
	if got := b.left(); got != 98 {
		t.Fatalf("%d uses left: refused changes take none", got)
	}
	third := instead(second)
	b.cast(third)
	if got := b.code(retraction(b, takeBack(third))); got != redisledger.OK {
		t.Fatalf("the changed vote is taken back: %s", got)
	}
}

// H16: a change depends on its vote, so it waits until that can't be lost any more.
func TestChangeWaitsForItsVote(t *testing.T) {
	b := newPolls(t, 1, true)
	first := vote("ann")
	batch := newBatch(b, 0, first)
	b.admit(batch)
	want := []redisledger.EntryVerdict{{Code: redisledger.Busy, Batch: batch.ID}}
	if diff := cmp.Diff(want, b.admit(newBatch(b, 0, instead(first))).Entries); diff != "" {
		t.Fatal(diff)
	}
}

// H33: nor is a vote gone that was changed in the same batch.
func TestAVoteThatIsChangedTwiceInABatch(t *testing.T) {
	b := newPolls(t, 1, true)
	first := vote("ann")
	b.cast(first)
	batch := newBatch(b, 0, instead(first), instead(first))
	v := b.admit(batch)
	want := []redisledger.EntryVerdict{{Code: redisledger.OK}, {Code: redisledger.Busy, Batch: batch.ID}}
	if diff := cmp.Diff(want, v.Entries); diff != "" {
		t.Fatal(diff)
	}
	if ok, err := b.ledger.Refund(t.Context(), b.fence, batch, &v); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if got := b.code(newBatch(b, 0, instead(first))); got != redisledger.OK {
		t.Fatalf("after the first change was lost: %s", got)
	}
}

func TestChangeThatIsRefundedNeverWas(t *testing.T) {
	b := newPolls(t, 1, true)
	first := vote("ann")
	b.cast(first)
	second := instead(first)
	batch := newBatch(b, 0, second)
	v := b.admit(batch)
	if ok, err := b.ledger.Refund(t.Context(), b.fence, batch, &v); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if got := b.left(); got != 99 {
		t.Fatalf("%d uses left, want 99", got)
	}
	if got := b.code(newBatch(b, 0, vote("ann"))); got != redisledger.Limit {
		t.Fatalf("one more vote: %s", got)
	}
	if got := b.code(retraction(b, takeBack(second))); got != redisledger.NoVote {
		t.Fatalf("the vote that never was: %s", got)
	}
	if got := b.code(newBatch(b, 0, instead(first))); got != redisledger.OK {
		t.Fatalf("the change once more: %s", got)
	}
}

func TestVotesWithoutTickets(t *testing.T) {
	b := newContest(t, redisledger.Ballot{Name: "acme.survey", VotesPerVoter: 1, Ticketless: true}, true)
	if got := b.code(retraction(b, vote("ann"))); got != redisledger.OK {
		t.Fatalf("no ticket was ever minted: %s", got)
	}
	b.mint(1, time.Hour)
	batch := newBatch(b, 2, vote("bob"), vote("eve"))
	batch.Tickets = []string{"another"}
	v := b.admit(batch)
	want := []redisledger.Code{redisledger.OK, redisledger.OK}
	if diff := cmp.Diff(want, codes(v)); diff != "" || v.TicketVersion != "" {
		t.Fatalf("tickets are not looked at: on %q %s", v.TicketVersion, diff)
	}
	if v.Groups[0].Code != redisledger.NoVoter {
		t.Fatalf("%+v", v.Groups)
	}
	if ok, err := b.ledger.Refund(t.Context(), b.fence, batch, &v); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if got := b.left(); got != 1 {
		t.Fatalf("%d uses left, want 1: none was taken, none given back", got)
	}
}

// A process may not know yet that the ballot has tickets, or counts by candidate.
func TestVotesThatTheBallotDoesNotTake(t *testing.T) {
	b := newPolls(t, 1, true)
	if got := b.code(retraction(b, vote("ann"))); got != redisledger.NoTicket {
		t.Fatalf("a vote without a ticket: %s", got)
	}
	each := newContest(t, redisledger.Ballot{Name: "each", VotesPerVoter: 1, PerCandidate: true}, true)
	each.mint(9, time.Hour)
	if got := each.code(newBatch(each, 0, vote("ann"))); got != redisledger.NotOne {
		t.Fatalf("a vote for several candidates: %s", got)
	}
}

// A full name has a dot; everything of it stands in one slot, as of any ballot.
func TestBallotsOfTenantsAreApart(t *testing.T) {
	b := newContest(t, redisledger.Ballot{Name: "acme.main", VotesPerVoter: 1}, true)
	b.mint(10, time.Hour)
	b.cast(vote("ann"))
	plain := *b
	plain.ballot = "main"
	plain.load(redisledger.Ballot{Name: "main", State: "open", VotesPerVoter: 1}, true)
	plain.mint(10, time.Hour)
	if got := plain.votes("A"); got != 0 {
		t.Fatalf("main has %d votes of acme.main", got)
	}
	if got := plain.code(newBatch(&plain, 0, vote("ann"))); got != redisledger.OK {
		t.Fatalf("ann has not voted there: %s", got)
	}
	if got := b.votes("A"); got != 1 {
		t.Fatalf("%d votes", got)
	}
}
