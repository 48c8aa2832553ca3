package system

import (
	"testing"
	"time"

	"github.com/littlevote/littlevote/tools/e2e/internal/checker"
	"github.com/littlevote/littlevote/tools/e2e/internal/process"
	"github.com/littlevote/littlevote/tools/e2e/internal/voter"
)

// told is how many violations a test prints: the first ones say what is wrong.
const told = 10

// Verify waits until the system is at rest and then holds the history against it, by the checker and by `littlevote recount`.
// It returns what Postgres has.
func (v *View) Verify(t testing.TB, gateway *voter.Client, history *checker.History) checker.Ledger {
	t.Helper()
	v.AwaitRest(t)
	ledger, err := checker.Read(t.Context(), v.Pool)
	if err != nil {
		t.Fatal(err)
	}
	ballots := map[string]bool{"main": true}
	for _, row := range ledger.Rows {
		ballots[row.Ballot] = true
	}
	for ballot := range ballots {
		ledger.Live = append(ledger.Live, v.live(t, gateway, ballot)...)
	}
	violations := checker.Check(history.Attempts(), ledger)
	for i, violation := range violations {
		if i == told {
			t.Errorf("… and %d more", len(violations)-told)
			break
		}
		t.Error(violation)
	}
	v.recount(t)
	return ledger
}

func (v *View) live(t testing.TB, gateway *voter.Client, ballot string) []checker.Tally {
	t.Helper()
	counts, err := gateway.GetAllUserVotes(t.Context(), ballot)
	if err != nil {
		t.Fatal(err)
	}
	tallies := make([]checker.Tally, len(counts))
	for i, c := range counts {
		if c.Stale {
			t.Errorf("the count of %s/%s may be stale", ballot, c.Username)
		}
		tallies[i] = checker.Tally{Ballot: ballot, Username: c.Username, Votes: c.Votes}
	}
	return tallies
}

func (v *View) recount(t testing.TB) {
	t.Helper()
	p := process.Start(t, process.Command{
		Name: "recount", Program: "littlevote", Dir: t.TempDir(),
		Args: []string{"recount", "--postgres-url", v.Postgres, "--redis-url", v.Redis},
	})
	code, err := p.Wait(time.Minute)
	if err != nil || code != 0 {
		t.Errorf("recount: exit code %d, error %v:\n%s%s", code, err, p.Stdout(), p.Stderr())
	}
}
