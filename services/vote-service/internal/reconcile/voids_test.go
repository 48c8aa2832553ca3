package reconcile

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/services/vote-service/internal/town"
)

// Whoever approved a void died before Redis heard of it: the next round tells Redis, and no epoch ends for it. Voids of which
// Redis knows are no drift either, whenever they came.
func TestVoidsThatRedisHasNotHeardOf(t *testing.T) {
	w := newWorld(t)
	w.Vote(town.Ballot, "A", 3)
	w.Vote(town.Ballot, "B", 2)
	w.verifies()
	w.Exec("UPDATE ballots SET state = 'closed', rules_version = 2 WHERE ballot = 'main'")
	rules := redisledger.Ballot{Name: town.Ballot, State: "closed", Rules: 2}
	if err := w.Redis.PutRules(t.Context(), w.current(), rules); err != nil {
		t.Fatal(err)
	}
	void := func(first, last int64) {
		t.Helper()
		v := pgledger.Void{ID: uuid.New(), Ballot: town.Ballot, First: first, Last: last, Reason: "bots", ProposedBy: "a"}
		if _, err := pgledger.ProposeVoid(t.Context(), w.Pool, v); err != nil {
			t.Fatal(err)
		}
		_, err := pgledger.ApproveVoid(t.Context(), w.Pool, pgledger.Approval{
			Ballot: town.Ballot, Void: v.ID, Actor: "b", Epoch: w.current().Epoch, Admissions: 5,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	shows := func(want map[string]int64) {
		t.Helper()
		cut, err := w.Redis.Cut(t.Context(), w.current(), town.Ballot)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, cut.Tally); diff != "" {
			t.Errorf("Redis (-want +got):\n%s", diff)
		}
	}
	void(3, 4)
	shows(map[string]int64{"A": 3, "B": 2})
	w.verifies()
	shows(map[string]int64{"A": 2, "B": 1})
	w.verifies()
	void(1, 1)
	w.Exec("UPDATE ballots SET state = 'certified' WHERE ballot = 'main'")
	rules.State, rules.Rules = "certified", 3
	if err := w.Redis.PutRules(t.Context(), w.current(), rules); err != nil {
		t.Fatal(err)
	}
	w.verifies()
	shows(map[string]int64{"A": 1, "B": 1})
	w.verifies()
	w.OpenRedis()
	w.verifies()
	shows(map[string]int64{"A": 1, "B": 1})
	// Somebody touches a count of such a ballot: that is drift, as everywhere.
	w.touch("A", 5)
	w.finds()
}
