package voteservice_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/testenv"
)

// Votes and uses of tickets go through the log together, and the database comes to the same truth as Redis: each use is a vote.
func TestS77VotesAndTicketUsesConverge(t *testing.T) {
	w := newWorld(t)
	a, b := w.start(), w.start()
	w.persist()
	const votes, limit = 60, 50
	ref := w.mint("main", limit, time.Hour)
	var wg sync.WaitGroup
	for n := range votes {
		wg.Go(func() { []*instance{a, b}[n%2].cast(t, vote(nil, "A", "B")) })
	}
	wg.Wait()
	if left := w.left("main"); left != 0 {
		t.Errorf("%d uses left in Redis", left)
	}
	testenv.Eventually(t, 10*time.Second, func() error {
		var used int64
		err := w.pool.QueryRow(t.Context(), "SELECT coalesce(sum(used), 0)::bigint FROM tickets WHERE ballot = 'main' AND version = $1",
			ref.GetVersion()).Scan(&used)
		if got := w.tally("main", "A"); err != nil || used != limit || got != limit {
			return fmt.Errorf("%d uses and %d votes in Postgres, want %d; %w", used, got, limit, err)
		}
		return nil
	})
	if a, b := w.live("main", "A"), w.live("main", "B"); a != limit || b != limit {
		t.Errorf("%d and %d votes in Redis, want %d", a, b, limit)
	}
	report, err := pgledger.Recount(t.Context(), w.pool)
	if err != nil || !report.OK() {
		t.Errorf("recount: %+v, %v", report, err)
	}
}
