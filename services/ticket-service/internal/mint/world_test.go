package mint

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/libs/ticket"
	"github.com/littlevote/littlevote/services/ticket-service/internal/ballots"
	"github.com/littlevote/littlevote/services/ticket-service/internal/history"
)

func TestSlowBallotDelaysNoOther(t *testing.T) {
	t.Parallel()
	const interval = 200 * time.Millisecond
	s := newSite(t, open(main, interval), open("slow", interval))
	s.slow = "slow"
	r := s.start(time.Second, nil)
	s.until(main, "five tickets", func(state redisledger.TicketState) bool { return state.LastNumber >= 5 })
	r.stop()
	chain(t, s.keys, 1, r.history.all(main))
	if state := s.state("slow"); state.LastNumber > 0 {
		t.Errorf("the slow ballot is not slow: %+v", state)
	}
}

func TestS13ValueSaysWhatItIs(t *testing.T) {
	t.Parallel()
	const interval, stall = 10 * time.Second, 5 * time.Second
	s := newSite(t, open(main, interval))
	s.epochs.open.Store(nil)
	r := s.start(2*stall, nil)
	hold := r.waitHold()
	s.openEpoch(3)
	state := s.until(main, "a ticket and its successor", complete)
	claims, err := s.keys.Verify(state.Newest.Value)
	if err != nil {
		t.Fatal(err)
	}
	want := ticket.Claims{Ballot: main, Epoch: 3, Number: 1, Fence: hold.Fence()}
	issued, expires := claims.IssuedAt, claims.ExpiresAt
	claims.IssuedAt, claims.ExpiresAt = time.Time{}, time.Time{}
	if diff := cmp.Diff(want, claims); diff != "" {
		t.Error(diff)
	}
	if d := state.Newest.CreatedAt.Sub(issued); d < 0 || d > stall {
		t.Errorf("issued %v before its window", d)
	}
	if d := state.Newest.ExpiresAt.Sub(expires); d < 0 || d > stall {
		t.Errorf("the planned end is %v before the real one", d)
	}
	// The successor's window is known when it is signed.
	r.untilRecorded(main, 2)
	list := r.history.all(main)
	if len(list) != 2 {
		t.Fatalf("%d tickets recorded", len(list))
	}
	next, err := s.keys.Verify(list[1].Value)
	if err != nil || !next.ExpiresAt.Equal(list[1].ExpiresAt) || !next.ExpiresAt.Equal(state.Newest.ExpiresAt.Add(interval)) {
		t.Errorf("%+v of %+v, %v", next, list[1], err)
	}
}

func TestOnlyOpenBallotsGetTickets(t *testing.T) {
	t.Parallel()
	const interval = 100 * time.Millisecond
	closed := open("late", interval)
	closed.Open = false
	s := newSite(t, open(main, interval), closed)
	s.start(time.Second, nil)
	s.until(main, "three tickets", func(state redisledger.TicketState) bool { return state.LastNumber >= 3 })
	if state := s.state("late"); state.LastNumber > 0 {
		t.Errorf("a ballot that is not open has a ticket: %+v", state)
	}
	closedMain := open(main, interval)
	closedMain.Open = false
	s.ballots.set(closedMain, open("late", interval))
	s.until("late", "a ticket of the ballot that has opened", complete)
	last := s.state(main).LastNumber
	s.until("late", "three more", func(state redisledger.TicketState) bool { return state.LastNumber >= 5 })
	if state := s.state(main); state.LastNumber > last+1 || state.Usable() {
		t.Errorf("tickets of the ballot that has closed: %+v", state)
	}
}

func TestS19RulesChangeWithTheNextTicket(t *testing.T) {
	t.Parallel()
	s := newSite(t, open(main, 150*time.Millisecond))
	s.start(time.Second, nil)
	s.until(main, "a ticket and its successor", complete)
	s.ballots.set(ballots.Ballot{Name: main, Open: true, Cap: redisledger.NoCap, Interval: 250 * time.Millisecond})
	state := s.until(main, "a ticket without a cap", func(state redisledger.TicketState) bool {
		return state.Usable() && state.Newest.Cap == redisledger.NoCap
	})
	if got := state.Newest.ExpiresAt.Sub(state.Newest.CreatedAt); got != 250*time.Millisecond {
		t.Errorf("lasts %v", got)
	}
}

func TestNewEpochGetsTicketsAtOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t, open(main, time.Hour))
	r := s.start(10*time.Second, nil)
	s.until(main, "a ticket and its successor", complete)
	s.openEpoch(4)
	opened := time.Now()
	state := s.until(main, "a ticket and its successor", complete)
	if took := time.Since(opened); took > 5*time.Second { // half a lock's life
		t.Errorf("the new epoch had no tickets for %v", took)
	}
	claims, err := s.keys.Verify(state.Newest.Value)
	if err != nil || claims.Epoch != 4 || claims.Number != 1 || claims.Fence != r.waitHold().Fence() {
		t.Errorf("%+v, %v", claims, err)
	}
}

func TestWrongEpochIsReported(t *testing.T) {
	t.Parallel()
	s := newSite(t, open(main, 100*time.Millisecond))
	s.start(time.Second, nil)
	s.until(main, "a ticket and its successor", complete)
	before := s.epochs.suspects.Load()
	if err := s.ledger.Seal(t.Context(), s.fence(), main); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 10*time.Second, func() error {
		if s.epochs.suspects.Load() == before {
			return errNotYet("suspected")
		}
		return nil
	})
	s.openEpoch(4)
	s.until(main, "a ticket and its successor", complete)
}

// The first ticket of an epoch waits for no lock.
func TestFirstTicketsNeedNoLock(t *testing.T) {
	t.Parallel()
	s := newSite(t, open(main, 10*time.Second))
	s.epochs.open.Store(nil)
	const ttl = 20 * time.Second
	a, b := s.start(ttl, away{}), s.start(ttl, away{})
	s.openEpoch(5)
	s.until(main, "a ticket and its successor", complete)
	a.stop()
	b.stop()
	chain(t, s.keys, 1, a.history.all(main), b.history.all(main))
}

// A minter that died between minting and recording leaves a ticket that the next holder records when it is in use.
func TestS14HolderRecordsTicketsThatItFinds(t *testing.T) {
	t.Parallel()
	s := newSite(t, open(main, 150*time.Millisecond))
	orphan := redisledger.Mint{Number: 1, Version: "3.1.0", Value: "orphan", Cap: 5, Interval: 400 * time.Millisecond}
	_, created, expires, err := s.ledger.Mint(t.Context(), s.fence(), main, orphan)
	if err != nil {
		t.Fatal(err)
	}
	r := s.start(time.Second, nil)
	r.untilRecorded(main, 3)
	r.stop()
	seen := map[string]int{}
	for _, h := range r.history.all(main) {
		seen[h.Version]++
		want := history.Ticket{Ballot: main, Ticket: redisledger.Ticket{
			Value: "orphan", Version: "3.1.0", Cap: 5, Left: 5, CreatedAt: created, ExpiresAt: expires,
		}}
		if diff := cmp.Diff(want, h); h.Version == "3.1.0" && diff != "" {
			t.Error(diff)
		}
	}
	if len(seen) < 3 || seen["3.1.0"] != 1 {
		t.Errorf("recorded %v", seen)
	}
	for version, n := range seen {
		if n != 1 {
			t.Errorf("%s is recorded %d times", version, n)
		}
	}
}
