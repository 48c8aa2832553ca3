package pgledger_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/littlevote/littlevote/libs/pgledger"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

// What is over a limit depends on what the limit counts: the ballot or each candidate, for life or in each period.
func TestRecountCountsVotersByTheirRules(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	noon := time.Date(2026, time.November, 21, 12, 0, 0, 0, time.UTC)
	mustApply(t, pool, likeAt(1, "u", "A", noon.Add(-time.Millisecond)), likeAt(2, "u", "A", noon), likeAt(3, "u", "B", noon))
	for name, c := range map[string]struct {
		rules string
		want  int64 // counting votes, where one is allowed; 0: nothing is wrong
	}{
		"by candidate and hour": {"limit_scope = 'candidate', voter_period_ms = 3600000", 0},
		"by candidate":          {"limit_scope = 'candidate', voter_period_ms = NULL", 2},
		"by hour":               {"limit_scope = 'ballot', voter_period_ms = 3600000", 2},
		"by nothing":            {"limit_scope = 'ballot', voter_period_ms = NULL", 3},
	} {
		run(t, pool, "UPDATE ballots SET votes_per_voter = 1, "+c.rules+" WHERE ballot = 'main'")
		report, err := pgledger.Recount(t.Context(), pool)
		if err != nil {
			t.Fatal(err)
		}
		var want []pgledger.Finding
		if c.want > 0 {
			want = []pgledger.Finding{{Check: "limit", Ballot: "main", Row: "u", Want: 1, Got: c.want}}
		}
		if diff := cmp.Diff(want, report.Findings, cmpopts.IgnoreFields(pgledger.Finding{}, "Text"), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: findings (-want +got):\n%s", name, diff)
		}
	}
}

// A change through the log: its two halves are compared each by itself, with the ledger and with the record.
func TestRecountOfAChange(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	old := voterBatch(1, "u")
	change := newBatch("main", 2, "A", "B")
	change.Format = 3
	v := change.Votes[0]
	v.VoterId, v.Retracts = "u", old.Votes[0].GetVoteId()
	v.Candidates, v.Deltas = []uint32{0, 0, 1}, []int64{-1, 1, 2}
	change.Votes = change.Votes[:1]
	mustApply(t, pool, change) // before the vote that it takes the place of
	mustApply(t, pool, old)
	check := func() int {
		t.Helper()
		found, err := pgledger.CheckRecords(t.Context(), pool, []pgledger.PlacedEvent{placed(old), placed(change)})
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	expectRecount(t, pool)
	if n := check(); n != 0 {
		t.Errorf("%d findings in the records", n)
	}
	if diff := cmp.Diff(map[string]int64{"A": 1, "B": 2}, votesOf(t, pool, "main")); diff != "" {
		t.Errorf("votes (-want +got):\n%s", diff)
	}
	// What it gives looks as if it took back: the sums are the same, and it is wrong all the same.
	run(t, pool, "UPDATE vote_logs SET retracts = $1::uuid WHERE delta = 2", id(old.Votes[0].GetVoteId()))
	report, err := pgledger.Recount(t.Context(), pool)
	if err != nil || report.OK() {
		t.Errorf("the recount finds nothing, %v", err)
	}
	if n := check(); n != 2 {
		t.Errorf("%d findings in the records, want a row too many and one too few", n)
	}
}

func placed(b *eventv1.VoteBatch) pgledger.PlacedEvent {
	return pgledger.PlacedEvent{Event: pgledger.Event{VoteBatch: b}, Place: "vote-events 0:1"}
}

// A key belongs to its ballot: the same one on another ballot is another vote, and stays when this one is taken back.
func TestRecountKeepsTheSameKeyOfTwoBallotsApart(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	vote, other := voterBatch(1, "u"), newBatch("cast", 1, "A")
	other.Votes[0].VoteId = vote.GetVotes()[0].GetVoteId()
	mustApply(t, pool, vote, other, retractionBatch(vote, 2))
	expectRecount(t, pool)
	if diff := cmp.Diff(map[string]int64{"A": 1}, votesOf(t, pool, "cast")); diff != "" {
		t.Errorf("votes (-want +got):\n%s", diff)
	}
}
