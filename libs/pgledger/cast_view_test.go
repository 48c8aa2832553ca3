package pgledger_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

// together is a batch of one vote with several choices.
func together(ballot string, admission int64, names []string, counts ...int64) *eventv1.VoteBatch {
	b := newBatch(ballot, admission, names...)
	vote := uuid.New()
	b.Votes = []*eventv1.VoteEvent{{VoteId: vote[:], Deltas: counts}}
	for i := range names {
		b.Votes[0].Candidates = append(b.Votes[0].Candidates, uint32(i))
	}
	return b
}

type castRow struct {
	ID       int64
	Username string
	Count    int64
	Version  int64
}

// S46: the version is one sequence per ballot, one more a request, shared by its candidates; an older one that comes late
// does not take its place. S47: the view votes shows this ballot's rows, as CAST's own check asks for them.
func TestS46S47ViewVotesOfTheBallotCast(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	mustApply(t, pool,
		together("cast", 1, []string{"alice", "bob", "charlie"}, 1, 2, 3),
		together("main", 7, []string{"A"}, 1), together("tiny", 9, []string{"alice"}, 5))
	look := func() []castRow {
		t.Helper()
		rows, err := pool.Query(t.Context(), "SELECT * FROM votes")
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{"id", "username", "count", "version"} {
			if got := rows.FieldDescriptions()[i].Name; got != want {
				t.Errorf("column %d is %s", i+1, got)
			}
		}
		list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[castRow])
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	if diff := cmp.Diff([]castRow{{1, "alice", 1, 1}, {2, "bob", 2, 1}, {3, "charlie", 3, 1}}, look()); diff != "" {
		t.Error(diff)
	}
	mustApply(t, pool, together("cast", 3, []string{"alice", "dave"}, 10, 1))
	mustApply(t, pool, together("cast", 2, []string{"alice", "bob"}, 1, 1))
	want := []castRow{{1, "alice", 12, 3}, {2, "bob", 3, 2}, {3, "charlie", 3, 1}, {4, "dave", 1, 3}}
	if diff := cmp.Diff(want, look()); diff != "" {
		t.Error(diff)
	}
}
