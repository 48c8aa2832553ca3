package redisledger_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/redisledger"
)

const day = 24 * time.Hour

func newDaily(t *testing.T, fresh bool) *clock {
	t.Helper()
	rules := redisledger.Ballot{Name: "daily", VotesPerVoter: 1, VoterPeriod: day, Ticketless: true}
	if !fresh {
		rules.Admissions = 5
	}
	return newClock(t, rules, fresh)
}

func (c *clock) today() int64 { return redisledger.PeriodOf(c.now, day) }

// G7, by the clock that decides: the limit begins anew with each window, at its very first millisecond.
func TestLimitPerPeriodBeginsAnew(t *testing.T) {
	c := newDaily(t, true)
	c.cast(vote("ann"))
	midnight := time.UnixMilli((c.today() + 1) * day.Milliseconds())
	c.pass(midnight.Add(-time.Millisecond).Sub(c.now))
	if got := c.code(c.batch(vote("ann"))); got != redisledger.Limit {
		t.Fatalf("one millisecond before midnight: %s", got)
	}
	c.pass(time.Millisecond)
	c.cast(vote("ann"))
	if got := c.code(c.batch(vote("ann"))); got != redisledger.Limit {
		t.Fatalf("the second one of the day: %s", got)
	}
}

// What was looked up is for one period: in another it says nothing.
func TestLookUpIsForItsPeriod(t *testing.T) {
	c := newDaily(t, false)
	asks := []redisledger.EntryVerdict{{Code: redisledger.LookUpVoter, Period: c.today()}}
	ann := vote("ann")
	if diff := cmp.Diff(asks, c.admit(c.batch(ann)).Entries); diff != "" {
		t.Fatal(diff)
	}
	ann.VoterState, ann.StatePeriod = []uuid.UUID{}, c.today()-1
	if diff := cmp.Diff(asks, c.admit(c.batch(ann)).Entries); diff != "" {
		t.Fatalf("of yesterday: %s", diff)
	}
	ann.VoterState, ann.StatePeriod = []uuid.UUID{uuid.New()}, c.today()
	if got := c.code(c.batch(ann)); got != redisledger.Limit {
		t.Fatalf("voted before this epoch: %s", got)
	}
	c.pass(day)
	asks[0].Period++
	if diff := cmp.Diff(asks, c.admit(c.batch(ann)).Entries); diff != "" {
		t.Fatalf("on the next day: %s", diff)
	}
	ann.VoterState, ann.StatePeriod = []uuid.UUID{}, c.today()
	c.cast(ann)
}

func TestRetractionNamesThePeriodOfItsVote(t *testing.T) {
	c := newDaily(t, true)
	first := vote("ann")
	c.cast(first)
	yesterday := c.today()
	c.pass(day)
	c.cast(vote("ann"))
	back := takeBack(first)
	back.Period = c.today()
	if got := c.code(c.batch(back)); got != redisledger.NoVote {
		t.Fatalf("of another day: %s", got)
	}
	if got := c.code(c.batch(instead(first))); got != redisledger.NoVote {
		t.Fatalf("a vote of a day that is over changes no more: %s", got)
	}
	back.Period = yesterday
	c.cast(back)
	if got := c.code(c.batch(vote("ann"))); got != redisledger.Limit {
		t.Fatalf("the vote of yesterday gives none for today: %s", got)
	}
	c.fence.NS = redisledger.NewNS()
	c.load(redisledger.Ballot{Name: "daily", State: "open", VotesPerVoter: 1, VoterPeriod: day, Ticketless: true, Admissions: 3}, false)
	asks := []redisledger.EntryVerdict{{Code: redisledger.LookUpVoter, Period: yesterday}}
	if diff := cmp.Diff(asks, c.admit(c.batch(back)).Entries); diff != "" {
		t.Fatalf("after a load: %s", diff)
	}
}

// A refund goes by the time of the admission, not by its own.
func TestRefundAfterTheEndOfAPeriod(t *testing.T) {
	c := newDaily(t, true)
	batch := c.batch(vote("ann"))
	v := c.admit(batch)
	voted := c.today()
	c.pass(day)
	c.cast(vote("ann"))
	if ok, err := c.ledger.Refund(t.Context(), c.fence, batch, &v); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if got := c.code(c.batch(vote("ann"))); got != redisledger.Limit {
		t.Fatalf("today's vote stands: %s", got)
	}
	back := takeBack(batch.Entries[0])
	back.Period = voted
	if got := c.code(c.batch(back)); got != redisledger.NoVote {
		t.Fatalf("yesterday's never was: %s", got)
	}
	// A retraction names its period itself.
	first := vote("bob")
	c.cast(first)
	back = takeBack(first)
	back.Period = c.today()
	batch = c.batch(back)
	v = c.admit(batch)
	c.pass(day)
	if ok, err := c.ledger.Refund(t.Context(), c.fence, batch, &v); !ok || err != nil {
		t.Fatal(ok, err)
	}
	c.cast(back)
}

func TestPeriodsThatAreOverAreEvicted(t *testing.T) {
	c := newDaily(t, true)
	first := vote("ann")
	c.cast(first)
	yesterday := c.today()
	c.pass(day)
	c.cast(vote("bob"))
	cold := c.cold()
	if len(cold) != 1 || cold[0].Field != "ann\x00"+c.text(yesterday) {
		t.Fatalf("%+v", cold)
	}
	c.evict(1, cold...)
	// Nothing is lost: the next one who needs it is sent to Postgres, though this epoch began with nothing.
	back := takeBack(first)
	back.Period = yesterday
	asks := []redisledger.EntryVerdict{{Code: redisledger.LookUpVoter, Period: yesterday}}
	if diff := cmp.Diff(asks, c.admit(c.batch(back)).Entries); diff != "" {
		t.Fatal(diff)
	}
	back.VoterState, back.StatePeriod = []uuid.UUID{first.VoteID}, yesterday
	c.cast(back)
	if got := c.code(c.batch(vote("bob"))); got != redisledger.Limit {
		t.Fatalf("today's state stays: %s", got)
	}
}
