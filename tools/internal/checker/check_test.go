package checker

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// run is a made-up run, all in order: a vote for A, one for A and B, a refused one, two of which nobody knows, one that
// was sent again, and one that names a candidate twice.
func run() ([]Attempt, Ledger) {
	at := time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)
	expires := at.Add(2 * time.Second)
	limit := int64(5)
	attempts := []Attempt{
		{ID: "1", Ballot: "main", Names: []string{"A"}, Ticket: "1.1.1", Outcome: Counted},
		{ID: "2", Ballot: "main", Names: []string{"B", "A"}, Outcome: Counted},
		{ID: "3", Ballot: "main", Names: []string{"C"}, Ticket: "1.1.1", Outcome: None},
		{ID: "4", Ballot: "main", Names: []string{"A"}, Ticket: "1.1.1", Outcome: Unknown},
		{ID: "5", Ballot: "main", Names: []string{"A"}, Ticket: "1.1.1", Outcome: Unknown},
		{ID: "6", Ballot: "main", Names: []string{"B"}, Ticket: "1.0.1", Outcome: Unknown},
		{ID: "6", Ballot: "main", Names: []string{"B"}, Ticket: "1.1.1", Outcome: Counted},
		{ID: "7", Ballot: "main", Names: []string{"D", "D"}, Outcome: Counted},
	}
	row := func(id, name string, delta int64) Row {
		return Row{VoteID: id, Ballot: "main", Username: name, Delta: delta, Ticket: "1.1.1", At: at}
	}
	tallies := []Tally{{"main", "A", 3}, {"main", "B", 2}, {"main", "D", 2}}
	return attempts, Ledger{
		Rows: []Row{
			row("1", "A", 1), row("2", "A", 1), row("2", "B", 1), row("4", "A", 1), row("6", "B", 1), row("7", "D", 2),
		},
		Tallies: tallies,
		Tickets: []Ticket{{Ballot: "main", Version: "1.1.1", Cap: &limit, Used: 5, Created: &at, Expires: &expires}},
		Live:    slices.Clone(tallies),
	}
}

func TestARunInOrderHasNoViolations(t *testing.T) {
	attempts, ledger := run()
	if found := Check(attempts, ledger); len(found) > 0 {
		t.Errorf("found %v", found)
	}
}

// unbalanced is what every change of the ledger alone brings with it.
func unbalanced(kind Kind) []Kind { return []Kind{LiveDiffers, kind, TallyDiffers, TicketDiffers} }

func TestEveryBrokenPromiseIsFound(t *testing.T) {
	for _, test := range []struct {
		name   string
		damage func(*[]Attempt, *Ledger)
		want   []Kind
	}{
		{"an acknowledged vote is missing", func(_ *[]Attempt, l *Ledger) { l.Rows = l.Rows[1:] }, unbalanced(Lost)},
		{"one candidate of an acknowledged vote is missing", func(_ *[]Attempt, l *Ledger) {
			l.Rows = slices.Delete(l.Rows, 2, 3)
		}, []Kind{Changed, LiveDiffers, TallyDiffers}},
		{"an acknowledged vote stands there twice", func(_ *[]Attempt, l *Ledger) {
			l.Rows = append(l.Rows, l.Rows[0])
		}, []Kind{Doubled, LiveDiffers, TallyDiffers}},
		{"a vote that nobody knows stands there twice", func(_ *[]Attempt, l *Ledger) {
			l.Rows = append(l.Rows, l.Rows[3])
		}, []Kind{Doubled, LiveDiffers, TallyDiffers}},
		{"an acknowledged vote counts two", func(_ *[]Attempt, l *Ledger) { l.Rows[0].Delta = 2 },
			[]Kind{Changed, LiveDiffers, TallyDiffers}},
		{"a vote counts for another candidate", func(_ *[]Attempt, l *Ledger) { l.Rows[0].Username = "Z" },
			[]Kind{Changed, LiveDiffers, LiveDiffers, TallyDiffers, TallyDiffers}},
		{"a refused vote counts", func(a *[]Attempt, _ *Ledger) { (*a)[0].Outcome = None }, []Kind{RefusedCounted}},
		{"a vote counts that nobody sent", func(a *[]Attempt, _ *Ledger) { *a = (*a)[1:] }, []Kind{Phantom}},
		{"an acknowledged vote has no id", func(a *[]Attempt, _ *Ledger) {
			*a = append(*a, Attempt{Ballot: "main", Names: []string{"A"}, Outcome: Counted})
		}, []Kind{Lost}},
		{"a key that was used again counts twice over", func(a *[]Attempt, _ *Ledger) {
			*a = append(*a, Attempt{ID: "1", Ballot: "main", Names: []string{"Q"}, Outcome: Counted})
		}, []Kind{Lost}},
		{"a vote counts on a ticket that it was not sent with", func(a *[]Attempt, _ *Ledger) { (*a)[0].Ticket = "1.2.1" },
			[]Kind{WrongTicket}},
		{"a vote was admitted after its ticket's end", func(_ *[]Attempt, l *Ledger) { l.Rows[0].At = *l.Tickets[0].Expires },
			[]Kind{OutOfWindow}},
		{"a vote was admitted before its ticket's beginning", func(_ *[]Attempt, l *Ledger) {
			l.Rows[0].At = l.Tickets[0].Created.Add(-time.Millisecond)
		}, []Kind{OutOfWindow}},
		{"a ticket has more votes than its cap", func(_ *[]Attempt, l *Ledger) { *l.Tickets[0].Cap = 4 }, []Kind{OverCap}},
		{"a ticket has more uses than votes", func(_ *[]Attempt, l *Ledger) { l.Tickets[0].Used++ }, []Kind{TicketDiffers}},
		{"a ticket is not known", func(_ *[]Attempt, l *Ledger) { l.Tickets = nil }, []Kind{TicketDiffers}},
		{"a tally is too high", func(_ *[]Attempt, l *Ledger) { l.Tallies[0].Votes++ }, []Kind{TallyDiffers}},
		{"a tally is missing", func(_ *[]Attempt, l *Ledger) { l.Tallies = l.Tallies[1:] }, []Kind{TallyDiffers}},
		{"voters see too few", func(_ *[]Attempt, l *Ledger) { l.Live[0].Votes-- }, []Kind{LiveDiffers}},
		{"voters see votes that there are not", func(_ *[]Attempt, l *Ledger) {
			l.Live = append(l.Live, Tally{"main", "Z", 1})
		}, []Kind{LiveDiffers}},
	} {
		t.Run(test.name, func(t *testing.T) {
			attempts, ledger := run()
			test.damage(&attempts, &ledger)
			var kinds []Kind
			for _, v := range Check(attempts, ledger) {
				kinds = append(kinds, v.Kind)
			}
			if diff := cmp.Diff(test.want, kinds); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatNobodyKnowsMayCountOrNot(t *testing.T) {
	attempts, ledger := run()
	attempts[0].Outcome = Unknown // counts
	attempts = append(attempts, Attempt{ID: "8", Ballot: "main", Names: []string{"A"}, Outcome: Unknown})
	if found := Check(attempts, ledger); len(found) > 0 {
		t.Errorf("found %v", found)
	}
	attempts[0].ID = "" // the voter does not know the id either
	if found := Check(attempts, ledger); len(found) > 0 {
		t.Errorf("without an id: found %v", found)
	}
}

func TestARefusedSecondBodyUnderAKeyIsNoViolation(t *testing.T) {
	attempts, ledger := run()
	attempts = append(attempts, Attempt{ID: "1", Ballot: "main", Names: []string{"Q"}, Outcome: None, Code: "KEY_REUSED"})
	if found := Check(attempts, ledger); len(found) > 0 {
		t.Errorf("found %v", found)
	}
}

func TestBallotsThatNobodyAskedForHaveNoLiveCounts(t *testing.T) {
	attempts, ledger := run()
	attempts = append(attempts, Attempt{ID: "1", Ballot: "tiny", Names: []string{"x"}, Outcome: Counted})
	ledger.Rows = append(ledger.Rows, Row{VoteID: "1", Ballot: "tiny", Username: "x", Delta: 1, Ticket: "1.1.1"})
	ledger.Tallies = append(ledger.Tallies, Tally{"tiny", "x", 1})
	ledger.Tickets = append(ledger.Tickets, Ticket{Ballot: "tiny", Version: "1.1.1", Used: 1})
	if found := Check(attempts, ledger); len(found) > 0 {
		t.Errorf("found %v", found)
	}
}

func TestHistoryKnowsWhatIsOpen(t *testing.T) {
	h := &History{}
	attempts, _ := run()
	for _, a := range attempts {
		a.Keyed = a.ID != "5"
		h.Add(a)
	}
	var open []string
	for _, a := range h.Unresolved() {
		open = append(open, a.ID)
	}
	slices.Sort(open)
	if diff := cmp.Diff([]string{"4"}, open); diff != "" {
		t.Errorf("unresolved (-want +got):\n%s", diff)
	}
	if n := h.Number(Counted); n != 4 {
		t.Errorf("%d counted", n)
	}
}
