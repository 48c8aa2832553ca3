package epoch_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/redisledger"
)

// An epoch in Redis begins with all votes for hot items, whatever the epoch before was in; so nobody who likes or not has to be
// looked up. Of cold items it has none.
func TestS61HotLikesComeWithEachEpoch(t *testing.T) {
	w := newWorld(t)
	w.exec(`INSERT INTO ballots (ballot, ticket_interval_ms, votes_per_voter, limit_scope, ticketless, hot_for_ms)
		VALUES ('acme.likes', 2000, 1, 'candidate', true, 3600000)`)
	hot, cold := redisledger.ItemID(time.Now()), redisledger.ItemID(time.Now().Add(-2*time.Hour))
	w.exec("INSERT INTO user_votes VALUES ('acme.likes', $1, 1, 4, now()), ('acme.likes', $2, 1, 2, now())", hot, cold)
	put := func(voter, item string, retracted bool) {
		w.exec(`INSERT INTO voter_votes (ballot, voter, vote_id, retracted, candidate, voted_at) VALUES ('acme.likes', $1, $2, $3, $4, now())`,
			voter, uuid.NewString(), retracted, item)
	}
	put("ann", hot, false)
	put("ann", cold, false)
	put("bob", hot, true)
	put("ann", "photo:1", false)
	w.changer(false)
	p, _ := w.participant(w.pool, time.Minute)
	has := func(epochNumber int64, voter string, want ...redisledger.Voted) {
		t.Helper()
		fence := w.awaitEpoch(p, epochNumber).Fence()
		got, err := w.ledger.Voted(t.Context(), fence, "acme.likes", voter, []string{hot, cold, "photo:1"})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("epoch %d, %s: %s", epochNumber, voter, diff)
		}
	}
	liked, notLiked, unknown := redisledger.Voted{Known: true, Voted: true}, redisledger.Voted{Known: true}, redisledger.Voted{}
	has(1, "ann", liked, unknown, unknown)
	has(1, "bob", notLiked, unknown, unknown)
	put("bob", hot, false)
	w.lose(w.awaitEpoch(p, 1))
	has(2, "ann", liked, unknown, unknown)
	has(2, "bob", liked, unknown, unknown)
	has(2, "eve", notLiked, unknown, unknown)
}
