package mint

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/services/ticket-service/internal/history"
	"github.com/littlevote/littlevote/services/ticket-service/internal/lock"
)

// Redis goes away, with the lock in it, and comes back: in each epoch there are tickets at once, by nobody's lock, and
// whoever asks never sees one of another epoch (H23).
func TestF25TicketsFollowTheLedger(t *testing.T) {
	t.Parallel()
	const ttl, interval = 20 * time.Second, 300 * time.Millisecond
	s := newSite(t, open(main, interval), open("late", interval))
	s.withPostgres()
	first := open(main, interval)
	s.ballots.set(first)
	a, b := s.start(ttl, away{}), s.start(ttl, away{})
	s.until(main, "tickets in Redis", func(state redisledger.TicketState) bool { return state.LastNumber >= 2 })

	s.openPostgres(4)
	s.isOf(s.until(main, "a ticket and its successor", complete), 4)
	s.until(main, "tickets in Postgres", func(state redisledger.TicketState) bool { return state.LastNumber >= 5 })
	if _, err := s.pool.Exec(t.Context(), "INSERT INTO ballots (ballot, ticket_interval_ms) VALUES ('late', 300)"); err != nil {
		t.Fatal(err)
	}
	s.ballots.set(first, open("late", interval))
	s.isOf(s.until("late", "a ticket of a ballot that is new", complete), 4)

	s.openEpoch(5)
	s.isOf(s.until(main, "a ticket and its successor", complete), 5)
	a.stop()
	b.stop()
	s.wholeHistory(4)
	for _, r := range []*replica{a, b} {
		for _, h := range r.history.all(main) {
			if claims, err := s.keys.Verify(h.Value); err != nil || claims.Epoch == 4 {
				t.Errorf("%s was given to the history, which Postgres keeps itself: %v", h.Version, err)
			}
		}
	}
}

// isOf checks that a ticket is of an epoch.
func (s *site) isOf(state redisledger.TicketState, number int64) {
	s.t.Helper()
	claims, err := s.keys.Verify(state.Newest.Value)
	if err != nil || claims.Epoch != number || claims.Version() != state.Newest.Version {
		s.t.Errorf("in epoch %d: %+v, %v", number, claims, err)
	}
}

// wholeHistory checks that each window of an epoch in Postgres has one ticket, and that they adjoin.
func (s *site) wholeHistory(number int64) {
	s.t.Helper()
	rows, err := s.pool.Query(context.WithoutCancel(s.t.Context()), `
		SELECT ballot, value, version, cap, 0::bigint, created_at, expires_at FROM ticket_history
		WHERE ballot = $1 AND version LIKE $2`, main, fmt.Sprintf("%d.%%", number))
	if err != nil {
		s.t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (history.Ticket, error) {
		var h history.Ticket
		return h, row.Scan(&h.Ballot, &h.Value, &h.Version, &h.Cap, &h.Left, &h.CreatedAt, &h.ExpiresAt)
	})
	if err != nil || len(list) < 5 {
		s.t.Fatalf("%d tickets, %v", len(list), err)
	}
	chain(s.t, s.keys, 1, list)
}

// In Postgres the windows adjoin like in Redis, however many replicas propose.
func TestF25NoGapInPostgres(t *testing.T) {
	t.Parallel()
	const interval = time.Second
	s := newSite(t, open(main, interval))
	s.withPostgres()
	s.openPostgres(7)
	s.start(time.Second, away{})
	s.start(10*time.Second, nil)
	s.until(main, "a ticket and its successor", complete)
	if gap := s.watchGap(main, 8); gap > interval/2 {
		t.Errorf("%v without a ticket", gap)
	}
	s.wholeHistory(7)
}

// A call to a store that hangs is given up when its epoch is over.
func TestHangingStoreDelaysNoNewEpoch(t *testing.T) {
	t.Parallel()
	s := newSite(t, open(main, 200*time.Millisecond))
	s.withPostgres()
	s.hang = make(chan struct{})
	t.Cleanup(func() { close(s.hang) })
	r := s.start(time.Second, away{})
	testenv.Eventually(t, 10*time.Second, func() error {
		if s.hanging.Load() == 0 {
			return errNotYet("hanging")
		}
		return nil
	})
	if n := r.minter.missing.Load(); n != 0 {
		t.Errorf("%d ballots are known to be without a ticket before anybody could look", n)
	}
	s.openPostgres(4)
	s.until(main, "a ticket and its successor", complete)
}

// What an operator sees: a ballot without a ticket counts, one that is closed does not.
func TestCountsBallotsWithoutATicket(t *testing.T) {
	t.Parallel()
	s := newSite(t, open(main, 200*time.Millisecond))
	r := s.start(time.Second, lock.None{})
	missing := func(want int64) {
		t.Helper()
		testenv.Eventually(t, 10*time.Second, func() error {
			if n := r.minter.missing.Load(); n != want {
				return fmt.Errorf("%d ballots without a ticket, want %d", n, want)
			}
			return nil
		})
	}
	s.until(main, "a ticket and its successor", complete)
	missing(0)
	in := *s.epochs.open.Load()
	s.epochs.open.Store(&epoch.Ledger{Epoch: 2, Mode: epoch.Redis, NS: "gone"})
	missing(1)
	over := open(main, 200*time.Millisecond)
	over.ClosesAt = time.Now()
	s.ballots.set(over)
	s.epochs.open.Store(&in)
	missing(0)
	last := s.state(main).LastNumber
	s.until(main, "the end of the last ticket", func(state redisledger.TicketState) bool { return !state.Usable() })
	if now := s.state(main).LastNumber; now > last+1 {
		t.Errorf("%d tickets after the ballot's end", now-last)
	}
	missing(0)
}
