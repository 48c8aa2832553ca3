package checker

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// contest is a run in order: v votes for A, changes that to B, and an unlike takes back what v likes; organisers void w's vote.
// Each thing happens a second after the one before.
func contest() ([]Attempt, Ledger) {
	began := time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)
	at := func(n int64) time.Time { return began.Add(time.Duration(n) * time.Second) }
	row := func(admission int64, ballot, voter, id, name string, delta int64, retracts string) Row {
		return Row{
			VoteID: id, Ballot: ballot, Username: name, Delta: delta, Voter: voter, Retracts: retracts, Admission: admission, At: at(admission),
		}
	}
	void := row(4, "poll", "w", "3", "A", -1, "3")
	void.Void = "x"
	attempts := []Attempt{
		{ID: "1", Ballot: "poll", Names: []string{"A"}, Voter: "v", Outcome: Counted},
		{ID: "2", Ballot: "poll", Names: []string{"B"}, Voter: "v", Outcome: Counted, Replaces: "1"},
		{ID: "3", Ballot: "poll", Names: []string{"A"}, Voter: "w", Outcome: Counted},
		{ID: "5", Ballot: "likes", Names: []string{"i"}, Voter: "v", Outcome: Counted},
		{ID: "6", Ballot: "likes", Names: []string{"j"}, Voter: "v", Outcome: Counted},
		{ID: "7", Ballot: "likes", Names: []string{"i"}, Voter: "v", Outcome: Counted, Unlikes: true},
		{ID: "8", Ballot: "likes", Names: []string{"i"}, Voter: "v", Outcome: None, Code: "ALREADY_LIKED", Sent: at(5).Add(-time.Second / 2), Answered: at(6)},
		{ID: "9", Ballot: "likes", Names: []string{"i"}, Voter: "v", Outcome: None, Code: "NOT_LIKED", Unlikes: true, Sent: at(8), Answered: at(9)},
		{ID: "10", Ballot: "poll", Names: []string{"A"}, Voter: "v", Outcome: None, Code: "VOTE_NOT_FOUND", Retracts: "1", Sent: at(3), Answered: at(4)},
	}
	tallies := []Tally{{"poll", "B", 1}, {"likes", "j", 1}}
	return attempts, Ledger{
		Rows: []Row{
			row(1, "poll", "v", "1", "A", 1, ""), row(2, "poll", "v", "2", "A", -1, "1"), row(2, "poll", "v", "2", "B", 1, ""),
			row(3, "poll", "w", "3", "A", 1, ""), void,
			row(5, "likes", "v", "5", "i", 1, ""), row(6, "likes", "v", "6", "j", 1, ""), row(7, "likes", "v", "7", "i", -1, "5"),
		},
		Tallies: tallies, Live: tallies, Redis: tallies,
		Tickets: []Ticket{{Ballot: "poll", Used: 3}},
		Voters: []Voter{
			{"poll", "v", "1", true}, {"poll", "v", "2", false}, {"poll", "w", "3", true}, {"likes", "v", "5", true}, {"likes", "v", "6", false},
		},
		Limits: []Limit{{Ballot: "poll", Votes: 1}, {Ballot: "likes", Votes: 1, PerCandidate: true, Ticketless: true}},
		Liked:  []Liked{{"likes", "v", "i", false}, {"likes", "v", "j", true}},
		Likes:  []Tally{{"likes", "i", 0}, {"likes", "j", 1}},
	}
}

func TestWhatBelongsToVotersIsJudged(t *testing.T) {
	second := func(a *Attempt, by time.Duration) { a.Sent, a.Answered = a.Sent.Add(by), a.Answered.Add(by) }
	for _, test := range []struct {
		name   string
		damage func([]Attempt, *Ledger)
		want   []Kind
	}{
		{"all in order", func([]Attempt, *Ledger) {}, nil},
		{"a change leaves the old vote", func(_ []Attempt, l *Ledger) {
			l.Rows[1].Username = "C"
		}, []Kind{Changed, LiveDiffers, LiveDiffers, RedisDiffers, RedisDiffers, TallyDiffers, TallyDiffers}},
		{"a change counts as a vote", func(a []Attempt, _ *Ledger) { a[1].Replaces = "" }, []Kind{Changed}},
		{"a second like counts for a moment", func(_ []Attempt, l *Ledger) { l.Rows[6].Username = "i" },
			[]Kind{Changed, LikedDiffers, LikedDiffers, LikedDiffers, LikedDiffers, LiveDiffers, LiveDiffers, OverLimit, RedisDiffers, RedisDiffers, TallyDiffers, TallyDiffers, Unjust}},
		{"an unlike takes the wrong like", func(_ []Attempt, l *Ledger) { l.Rows[7].Retracts = "6" },
			[]Kind{Changed, Unjust, VoterDiffers, VoterDiffers}},
		{"a like is refused that nobody has", func(a []Attempt, _ *Ledger) { second(&a[6], 10*time.Second) }, []Kind{Unjust}},
		{"an unlike is refused while there is a like", func(a []Attempt, _ *Ledger) {
			a[7].Sent, a[7].Answered = a[6].Answered.Add(-time.Second/2), a[6].Answered
		}, []Kind{Unjust}},
		{"a retraction is refused while the vote counts", func(a []Attempt, _ *Ledger) { second(&a[8], -1700*time.Millisecond); a[8].Answered = a[8].Sent }, []Kind{Unjust}},
		{"a voter is told of a like that there is not", func(_ []Attempt, l *Ledger) { l.Liked[0].Liked = true }, []Kind{LikedDiffers}},
		{"readers are told of a like too many", func(_ []Attempt, l *Ledger) { l.Likes[0].Votes++ }, []Kind{LikedDiffers}},
		{"a vote is voided twice", func(_ []Attempt, l *Ledger) {
			again := l.Rows[4]
			again.Void = "y"
			l.Rows = append(l.Rows, again)
		}, []Kind{Doubled, LiveDiffers, RedisDiffers, TallyDiffers}},
	} {
		t.Run(test.name, func(t *testing.T) {
			attempts, ledger := contest()
			test.damage(attempts, &ledger)
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
