package load_test

import (
	"testing"
	"time"

	"github.com/littlevote/littlevote/tools/faults/internal/load"
	"github.com/littlevote/littlevote/tools/internal/checker"
)

func TestSilence(t *testing.T) {
	start := time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)
	at := func(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }
	vote := func(sent, answered float64, outcome checker.Outcome) checker.Attempt {
		return checker.Attempt{Sent: at(sent), Answered: at(answered), Outcome: outcome}
	}
	for _, test := range []struct {
		name     string
		attempts []checker.Attempt
		want     float64
	}{
		{"nobody voted", nil, 10},
		{"only refusals", []checker.Attempt{vote(5, 6, checker.None), vote(6, 7, checker.Unknown)}, 10},
		{"one in the middle", []checker.Attempt{vote(5, 6, checker.Counted)}, 6},
		{"sent before the fault", []checker.Attempt{vote(-1, 5, checker.Counted)}, 10},
		{"answered afterwards", []checker.Attempt{vote(9, 11, checker.Counted)}, 10},
		{"in any order", []checker.Attempt{vote(7, 8, checker.Counted), vote(1, 2, checker.Counted), vote(4, 5, checker.Counted)}, 3},
	} {
		if got := load.Silence(test.attempts, at(0), at(10)).Seconds(); got != test.want {
			t.Errorf("%s: %v s, want %v", test.name, got, test.want)
		}
	}
}

func TestBetweenLeavesOutWhatIsAnsweredLater(t *testing.T) {
	start := time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	votes := []checker.Attempt{
		{Sent: at(0), Answered: at(2), Outcome: checker.Counted}, {Sent: at(2), Answered: at(3), Outcome: checker.Counted},
		{Sent: at(3), Answered: at(4), Outcome: checker.None}, {Sent: at(4), Answered: at(6), Outcome: checker.Counted},
	}
	if n := load.Between(votes, checker.Counted, at(1), at(5)); n != 1 {
		t.Errorf("%d votes, want the second alone", n)
	}
}
