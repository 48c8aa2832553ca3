package checker

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEveryReadThatBreaksAPromiseIsFound(t *testing.T) {
	read := func(session int, votes int64) Read {
		return Read{Session: session, Ballot: "main", Name: "A", Votes: votes}
	}
	stale := func(r Read) Read { r.Stale = true; return r }
	for _, test := range []struct {
		name  string
		reads []Read
		want  []Kind
	}{
		{"all in order", []Read{read(1, 1), read(2, 0), read(1, 2), {Session: 1, Ballot: "main", Name: "B"}}, nil},
		{"a count falls for one voter", []Read{read(1, 2), read(1, 1)}, []Kind{ReadFell}},
		{"a count is zero after it was not", []Read{read(1, 2), read(2, 3), read(1, 0)}, []Kind{ReadFell}},
		{"another voter is behind", []Read{read(1, 2), read(2, 1)}, nil},
		{"a stale count falls", []Read{read(1, 2), stale(read(1, 0)), read(1, 2)}, []Kind{ReadFell}},
		{"after a stale count one falls", []Read{read(1, 2), stale(read(1, 3)), read(1, 2)}, []Kind{ReadFell}},
		{"G8 an acknowledged vote is not shown", []Read{{Name: "A", Votes: 4, Acknowledged: 5}}, []Kind{ReadOld}},
		{"H37 a stale count lacks acknowledged votes", []Read{{Name: "A", Votes: 4, Acknowledged: 5, Stale: true}}, []Kind{ReadOld}},
		{"a token is not honoured", []Read{{Name: "A", Votes: 4, Token: "1.2.3", Least: 5}}, []Kind{ReadBehind}},
		{"a stale count lacks the token's vote", []Read{{Name: "A", Token: "1.2.3", Least: 1, Stale: true}}, []Kind{ReadBehind}},
		{"a token is honoured", []Read{{Name: "A", Votes: 5, Token: "1.2.3", Least: 5}}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			var kinds []Kind
			for _, v := range CheckReads(test.reads) {
				kinds = append(kinds, v.Kind)
			}
			if diff := cmp.Diff(test.want, kinds); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHistoryCountsAVoteOnceHoweverOftenItIsAcknowledged(t *testing.T) {
	h := &History{}
	attempts, _ := run()
	for _, a := range append(attempts, attempts...) {
		h.Add(a)
	}
	var got []int64
	for _, name := range []string{"A", "B", "C", "D"} {
		got = append(got, h.Acknowledged("main", name))
	}
	if diff := cmp.Diff([]int64{2, 2, 0, 2}, got); diff != "" {
		t.Errorf("A to D (-want +got):\n%s", diff)
	}
}

// limited is a run with voters: the first vote is v's, as the second is; the third takes the second back. The second and the
// third were admitted before the first.
func limited() ([]Attempt, Ledger) {
	row := func(id string, delta int64, retracts string) Row {
		admission := map[string]int64{"2": 1, "3": 2, "1": 3}[id]
		return Row{VoteID: id, Ballot: "main", Username: "A", Delta: delta, Voter: "v", Retracts: retracts, Admission: admission}
	}
	return []Attempt{
			{ID: "1", Ballot: "main", Names: []string{"A"}, Voter: "v", Outcome: Counted},
			{ID: "2", Ballot: "main", Names: []string{"A"}, Voter: "v", Outcome: Counted},
			{ID: "3", Ballot: "main", Names: []string{"A"}, Voter: "v", Outcome: Counted, Retracts: "2"},
		}, Ledger{
			Rows:    []Row{row("1", 1, ""), row("2", 1, ""), row("3", -1, "2")},
			Tallies: []Tally{{"main", "A", 1}},
			Tickets: []Ticket{{Ballot: "main", Used: 2}},
			Voters:  []Voter{{"main", "v", "1", false}, {"main", "v", "2", true}},
			Limits:  []Limit{{Ballot: "main", Votes: 1}},
			Live:    []Tally{{"main", "A", 1}},
			Redis:   []Tally{{"main", "A", 1}},
		}
}

func TestEveryBrokenLimitIsFound(t *testing.T) {
	for _, test := range []struct {
		name   string
		damage func(*[]Attempt, *Ledger)
		want   []Kind
	}{
		{"all in order", func(*[]Attempt, *Ledger) {}, nil},
		{"G7 a voter has more votes than the limit", func(_ *[]Attempt, l *Ledger) { l.Limits[0].Votes = 0 }, []Kind{OverLimit, OverLimit}},
		{"G7 a voter had more votes than the limit for a moment", func(_ *[]Attempt, l *Ledger) { l.Rows[0].Admission = 1 }, []Kind{OverLimit}},
		{"a ballot without a limit", func(_ *[]Attempt, l *Ledger) { l.Limits = nil }, nil},
		{"a vote is not kept", func(_ *[]Attempt, l *Ledger) { l.Voters = l.Voters[1:] }, []Kind{VoterDiffers}},
		{"a vote is kept that there is not", func(_ *[]Attempt, l *Ledger) {
			l.Voters = append(l.Voters, Voter{"main", "w", "9", false})
		}, []Kind{VoterDiffers}},
		{"a vote that was taken back is kept as if not", func(_ *[]Attempt, l *Ledger) { l.Voters[1].Retracted = false }, []Kind{VoterDiffers}},
		{"H16 a retraction of a vote that there is not", func(a *[]Attempt, l *Ledger) {
			*a, l.Rows, l.Voters = slices.Delete(*a, 1, 2), slices.Delete(l.Rows, 1, 2), l.Voters[:1]
			l.Tickets[0].Used, l.Tallies[0].Votes, l.Live[0].Votes, l.Redis[0].Votes = 1, 0, 0, 0
		}, []Kind{Changed, VoterDiffers}},
		{"a vote is taken back twice", func(a *[]Attempt, l *Ledger) {
			again, row := (*a)[2], l.Rows[2]
			again.ID, row.VoteID = "4", "4"
			*a, l.Rows = append(*a, again), append(l.Rows, row)
			l.Tallies[0].Votes, l.Live[0].Votes, l.Redis[0].Votes = 0, 0, 0
		}, []Kind{Doubled}},
		{"a refused retraction counts", func(a *[]Attempt, _ *Ledger) { (*a)[2].Outcome = None }, []Kind{RefusedCounted}},
		{"an acknowledged retraction is missing", func(_ *[]Attempt, l *Ledger) {
			l.Rows, l.Voters[1].Retracted, l.Limits = l.Rows[:2], false, nil
			l.Tallies[0].Votes, l.Live[0].Votes, l.Redis[0].Votes = 2, 2, 2
		}, []Kind{Lost}},
		{"Redis counts another", func(_ *[]Attempt, l *Ledger) { l.Redis[0].Votes++ }, []Kind{RedisDiffers}},
	} {
		t.Run(test.name, func(t *testing.T) {
			attempts, ledger := limited()
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
