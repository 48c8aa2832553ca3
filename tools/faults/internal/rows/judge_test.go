package rows

import (
	"io"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/littlevote/littlevote/tools/faults/internal/load"
	"github.com/littlevote/littlevote/tools/faults/internal/results"
	"github.com/littlevote/littlevote/tools/internal/checker"
	"github.com/littlevote/littlevote/tools/internal/scope"
)

// inRun gives a run that has no servers, and returns what it found wrong.
func inRun(t *testing.T, f func(*Run)) []string {
	t.Helper()
	return scope.Start(t.Context(), io.Discard, func(s *scope.Run) { f(&Run{Scope: s}) })
}

func TestViolationsAreCountedByWhatTheyBreak(t *testing.T) {
	var result results.Run
	problems := inRun(t, func(r *Run) {
		r.violations(&result, []checker.Violation{
			{Kind: checker.Lost}, {Kind: checker.Doubled}, {Kind: checker.OverCap}, {Kind: checker.OverLimit}, {Kind: checker.TallyDiffers},
			{Kind: checker.Lost}, {Kind: checker.Phantom},
		})
	})
	want := results.Run{Lost: 2, Double: 1, OverCap: 2, Other: 2}
	if diff := cmp.Diff(want, result); diff != "" || len(problems) != told+1 {
		t.Errorf("%d problems, result (-want +got):\n%s", len(problems), diff)
	}
}

func TestAGoodVoteMayNotBeCalledWrong(t *testing.T) {
	attempt := func(outcome checker.Outcome, ballot, code string) checker.Attempt {
		return checker.Attempt{Outcome: outcome, Ballot: ballot, Code: code}
	}
	problems := inRun(t, func(r *Run) {
		r.refusals([]checker.Attempt{
			attempt(checker.None, "main", "TICKET_EXPIRED"), attempt(checker.None, "main", "UNAVAILABLE"),
			{Outcome: checker.None, Ballot: load.LimitedBallot, Voter: "v", Code: "VOTER_LIMIT"}, attempt(checker.Unknown, "main", "INTERNAL"),
			attempt(checker.None, "main", "BALLOT_NOT_FOUND"), attempt(checker.None, "main", "BALLOT_NOT_FOUND"),
			attempt(checker.None, "main", "INTERNAL"),
		})
	})
	want := []string{"2 good votes were refused with BALLOT_NOT_FOUND", "1 good votes were refused with INTERNAL"}
	if diff := cmp.Diff(want, problems); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestTimesAreJudgedByTheRow(t *testing.T) {
	start := time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)
	at := func(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }
	votes := []checker.Attempt{
		{Sent: at(3.5), Answered: at(4), Outcome: checker.Counted}, {Sent: at(9.5), Answered: at(10), Outcome: checker.Counted},
		{Sent: at(16), Answered: at(17), Outcome: checker.Counted},
	}
	for _, test := range []struct {
		name     string
		row      Row
		patience float64
		verdict  results.Verdict
		recovery time.Duration
	}{
		{"votes may cease, and come back late", Row{}, 1, results.Slow, 7 * time.Second},
		{"on a busy machine", Row{}, 2, results.Passed, 7 * time.Second},
		{"it takes its time by intent", Row{Back: 8 * time.Second}, 1, results.Passed, 7 * time.Second},
		{"votes should have gone on", Row{Back: 8 * time.Second, Silence: 3 * time.Second}, 1, results.Slow, 7 * time.Second},
	} {
		result := results.Run{Verdict: results.Passed}
		problems := inRun(t, func(r *Run) {
			r.Row, r.faultAt, r.healAt = test.row, at(0), at(10)
			r.times(&result, slices.Clone(votes), at(18), test.patience)
		})
		if result.Verdict != test.verdict || result.Recovery != test.recovery || len(problems) > 0 {
			t.Errorf("%s: %+v, %v", test.name, result, problems)
		}
	}
}
