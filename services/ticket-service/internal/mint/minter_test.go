package mint

import (
	"testing"
	"time"

	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/services/ticket-service/internal/ballots"
	"github.com/littlevote/littlevote/services/ticket-service/internal/lock"
)

func open(name string, interval time.Duration) ballots.Ballot {
	return ballots.Ballot{Name: name, Open: true, Cap: 100, Interval: interval}
}

func TestS12TicketAfterTicketWithoutAGap(t *testing.T) {
	t.Parallel()
	const interval = time.Second
	s := newSite(t, open(main, interval))
	r := s.start(10*time.Second, nil)
	s.until(main, "a ticket and its successor", complete)
	if gap := s.watchGap(main, 8); gap > interval/2 {
		t.Errorf("%v without a ticket", gap)
	}
	r.stop()
	list := chain(t, s.keys, 1, r.history.all(main))
	for _, h := range list {
		if h.ExpiresAt.Sub(h.CreatedAt) != interval || h.Cap != 100 {
			t.Errorf("%+v", h)
		}
	}
}

func TestS17ManyReplicasOneTicketPerWindow(t *testing.T) {
	t.Parallel()
	s := newSite(t, open(main, time.Second))
	a, b, c := s.start(time.Second, lock.None{}), s.start(time.Second, lock.None{}), s.start(time.Second, lock.None{})
	s.until(main, "six tickets", func(state redisledger.TicketState) bool { return state.LastNumber >= 6 })
	for _, r := range []*replica{a, b, c} {
		r.stop()
	}
	chain(t, s.keys, 1, a.history.all(main), b.history.all(main), c.history.all(main))
}

func TestS17OnlyTheHolderMints(t *testing.T) {
	t.Parallel()
	s := newSite(t, open(main, 200*time.Millisecond))
	a := s.start(10*time.Second, nil)
	a.waitHold()
	b := s.start(10*time.Second, nil)
	s.until(main, "five tickets", func(state redisledger.TicketState) bool { return state.LastNumber >= 5 })
	if n := len(b.history.all(main)); n > 0 {
		t.Errorf("the other replica has minted %d tickets", n)
	}
}

// A stopped or killed holder releases nothing. With a lock shorter than a window the voters notice nothing.
func TestS17FailoverWithoutAGap(t *testing.T) {
	t.Parallel()
	const ttl, interval = time.Second, 2 * time.Second
	s := newSite(t, open(main, interval))
	a := s.start(ttl, nil)
	first := a.waitHold()
	b := s.start(ttl, nil)
	s.until(main, "a ticket and its successor", complete)
	a.frozen.all.Store(true)
	cut := time.Now()
	last := s.state(main).LastNumber
	b.waitHold()
	took := time.Since(cut)
	gap := s.watchGap(main, last+3)
	t.Logf("lock of %v, window of %v: taken over after %v, longest time without a ticket %v", ttl, interval, took, gap)
	if took > ttl+time.Second {
		t.Errorf("taken over after %v", took)
	}
	if gap > interval/4 {
		t.Errorf("%v without a ticket", gap)
	}
	if first.Valid() {
		t.Error("the cut holder still believes in its lock")
	}
	a.frozen.all.Store(false)
	s.until(main, "tickets after the first holder is back", func(state redisledger.TicketState) bool {
		return state.LastNumber >= last+5
	})
	a.stop()
	b.stop()
	chain(t, s.keys, 1, a.history.all(main), b.history.all(main))
}

// With a lock longer than a window there is a gap, of one lock's life at most.
func TestS17FailoverWithALongLock(t *testing.T) {
	t.Parallel()
	const ttl, interval = 2 * time.Second, 500 * time.Millisecond
	s := newSite(t, open(main, interval))
	a := s.start(ttl, nil)
	a.waitHold()
	s.start(ttl, nil)
	last := s.until(main, "a ticket and its successor", complete).LastNumber
	a.frozen.all.Store(true)
	gap := s.watchGap(main, last+3)
	t.Logf("lock of %v, window of %v: longest time without a ticket %v", ttl, interval, gap)
	if gap > ttl {
		t.Errorf("%v without a ticket", gap)
	}
}

func TestS17CleanStopHandsOverAtOnce(t *testing.T) {
	t.Parallel()
	const ttl, interval = 5 * time.Second, 500 * time.Millisecond
	s := newSite(t, open(main, interval))
	a := s.start(ttl, nil)
	a.waitHold()
	b := s.start(ttl, nil)
	last := s.until(main, "a ticket and its successor", complete).LastNumber
	a.stop()
	stopped := time.Now()
	b.waitHold()
	if took := time.Since(stopped); took > ttl/4 {
		t.Errorf("handed over after %v", took)
	}
	if gap := s.watchGap(main, last+2); gap > 0 && time.Since(stopped) > ttl {
		t.Errorf("%v without a ticket", gap)
	}
}

// While the store of the lock is away nobody holds it. One replica fills in and goes on without delay.
func TestFillsInWhileTheLockStoreIsAway(t *testing.T) {
	t.Parallel()
	const ttl, interval = time.Second, time.Second
	s := newSite(t, open(main, interval))
	s.mintFirst(interval)
	started := time.Now()
	a, b := s.start(ttl, away{}), s.start(ttl, away{})
	s.until(main, "another ticket", func(state redisledger.TicketState) bool { return state.LastNumber > 1 })
	if took := time.Since(started); took < ttl {
		t.Errorf("minted without the lock after %v", took)
	}
	if gap := s.watchGap(main, 6); gap > interval/2 {
		t.Errorf("%v without a ticket", gap)
	}
	a.stop()
	b.stop()
	for _, h := range chain(t, s.keys, 2, a.history.all(main), b.history.all(main)) {
		if fenceOf(h.Version) != 0 {
			t.Errorf("%s has a fence and nobody held the lock", h.Version)
		}
	}
}

// Who fills in stops when a holder mints again. It may be the quicker one for some windows.
func TestFillingInEndsWithAHolder(t *testing.T) {
	t.Parallel()
	const ttl, interval = 200 * time.Millisecond, 150 * time.Millisecond
	s := newSite(t, open(main, interval))
	filler := s.start(ttl, away{})
	s.until(main, "two tickets without the lock", func(state redisledger.TicketState) bool { return state.LastNumber >= 2 })
	s.start(2*time.Second, nil)
	s.until(main, "a ticket of the holder", func(state redisledger.TicketState) bool { return fenceOf(state.Successor) > 0 })
	testenv.Eventually(t, 15*time.Second, func() error {
		before, last := len(filler.history.all(main)), s.state(main).LastNumber
		s.until(main, "four more", func(state redisledger.TicketState) bool { return state.LastNumber >= last+4 })
		if len(filler.history.all(main)) > before {
			return errNotYet("by the one who fills in")
		}
		return nil
	})
}

// A holder that loses the lock mints nothing before others had their time.
func TestLostLockStopsMintingAtOnce(t *testing.T) {
	t.Parallel()
	const ttl, interval = 3 * time.Second, 100 * time.Millisecond
	s := newSite(t, open(main, interval))
	r := s.start(ttl, nil)
	hold := r.waitHold()
	s.until(main, "a ticket and its successor", complete)
	if err := s.rdb.Set(t.Context(), s.lockKey, "another's", 0).Err(); err != nil {
		t.Fatal(err)
	}
	<-hold.Lost()
	lost, state := time.Now(), s.state(main)
	s.until(main, "another ticket", func(now redisledger.TicketState) bool { return now.LastNumber > state.LastNumber })
	if went := time.Since(lost); went < ttl/2 {
		t.Errorf("minted %v after the lock was lost", went)
	}
}

func TestFencedHolderTakesTheLockAnew(t *testing.T) {
	t.Parallel()
	s := newSite(t, open(main, 300*time.Millisecond))
	r := s.start(2*time.Second, nil)
	first := r.waitHold()
	// The first tickets need no lock; a holder that had minted none yet would go on from the fence of the other.
	state := s.until(main, "a ticket of this hold", func(now redisledger.TicketState) bool {
		return fenceOf(now.Successor) == first.Fence()
	})
	// A later holder mints at the rotation, a little before us.
	late := redisledger.Mint{Version: "3.0.50", Value: "foreign", Cap: 5, Interval: 300 * time.Millisecond, Fence: 50}
	testenv.Eventually(t, 10*time.Second, func() error {
		state = s.state(main)
		late.Number = state.LastNumber + 1
		done, _, _, err := s.ledger.Mint(t.Context(), s.fence(), main, late)
		if err == nil && done != redisledger.MintDone {
			err = errNotYet(done)
		}
		return err
	})
	select {
	case <-first.Lost():
	case <-time.After(10 * time.Second):
		t.Fatal("the fenced holder keeps the lock")
	}
	s.until(main, "a ticket of the new hold", func(now redisledger.TicketState) bool {
		return fenceOf(now.Successor) > 50
	})
}

type errNotYet redisledger.Minted

func (e errNotYet) Error() string { return "minted: " + string(e) }

// Another store of the lock may count lower; that must not keep its holders from minting.
func TestFenceGoesOnFromTheTickets(t *testing.T) {
	t.Parallel()
	for name, backend := range map[string]lock.Backend{"redis": nil, "none": lock.None{}} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, open(main, 200*time.Millisecond))
			earlier := redisledger.Mint{
				Number: 1, Version: "3.1.5000", Value: "foreign", Cap: 5, Interval: 200 * time.Millisecond, Fence: 5000,
			}
			if _, _, _, err := s.ledger.Mint(t.Context(), s.fence(), main, earlier); err != nil {
				t.Fatal(err)
			}
			s.start(10*time.Second, backend)
			state := s.until(main, "three tickets", func(state redisledger.TicketState) bool { return state.LastNumber >= 4 })
			want := int64(5001)
			if backend != nil {
				want = 5000
			}
			if got := fenceOf(state.Newest.Version); got != want {
				t.Errorf("version %s, want the fence %d", state.Newest.Version, want)
			}
		})
	}
}
