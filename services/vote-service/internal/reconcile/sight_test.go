package reconcile

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/littlevote/littlevote/services/vote-service/internal/town"
)

// What is seen of the whole system is shown by the instance whose turn it is, and by no other.
func TestSight(t *testing.T) {
	w := newWorld(t)
	w.Vote(town.Ballot, "A", 3)
	w.Exec("INSERT INTO participants (id, service, epoch, stopped, lease_until) VALUES " +
		"('1', 'vote-service', 1, false, now() + interval '1 minute'), ('2', 'vote-service', 1, false, now() - interval '1 minute')")
	w.verifies()
	seen := w.sight()
	if seen.votes[town.Ballot] != 3 || seen.outbox[town.Ballot] != 0 || seen.alive["vote-service"] != 1 {
		t.Errorf("%+v", seen)
	}
	w.OpenPostgres()
	w.Exec("UPDATE user_votes SET votes = votes + 1 WHERE username = 'A'")
	w.finds()
	if seen := w.sight(); seen.votes[town.Ballot] != 4 {
		t.Errorf("in Postgres: %+v", seen)
	}
	w.forget()
	if diff := cmp.Diff(sight{}, w.sight(), cmp.AllowUnexported(sight{})); diff != "" {
		t.Errorf("still shown: %s", diff)
	}
}

// A ticket that was used beyond its cap is an alarm, for as long as it stands there.
func TestOverspentIsTold(t *testing.T) {
	w := newWorld(t)
	w.verifies()
	if over, ok := w.sight().overspent[town.Ballot]; over != 0 || !ok {
		t.Errorf("overspent by %d, shown: %v", over, ok)
	}
	w.Exec("INSERT INTO tickets (ballot, version, cap, used) VALUES ('main', '9.9.9', 10, 12), ('main', '9.9.8', 10, 10), ('cast', '1', NULL, 99)")
	for range 2 {
		if _, err := w.compare(); err != nil {
			t.Fatal(err)
		}
	}
	if over := w.sight().overspent; over["main"] != 2 || over["cast"] != 0 || !strings.Contains(w.Degraded(), "beyond their caps on the ballots main") {
		t.Errorf("overspent %v, %q", over, w.Degraded())
	}
	if n := strings.Count(w.log.String(), "beyond their caps"); n != 1 {
		t.Errorf("told %d times", n)
	}
	w.Exec("DELETE FROM tickets WHERE version = '9.9.9'")
	w.verifies()
}
