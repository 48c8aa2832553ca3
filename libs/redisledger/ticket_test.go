package redisledger_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/testenv"
)

// booth is a ballot without any ticket, on whichever Redis the environment gives.
type booth struct {
	t      *testing.T
	rdb    redis.UniversalClient
	ledger *redisledger.Ledger
	fence  redisledger.Fence
}

const boothBallot = "main"

func newBooth(t *testing.T) *booth {
	t.Helper()
	rdb, err := redisledger.Open(testenv.Redis(t), 50, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	b := &booth{t: t, rdb: rdb, ledger: redisledger.New(rdb)}
	b.fence = redisledger.Fence{Epoch: 7, NS: redisledger.NewNS()}
	if err := b.ledger.Load(t.Context(), b.fence, redisledger.Ballot{Name: boothBallot, State: "open"}, true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.ledger.Unlink(context.WithoutCancel(t.Context()), b.fence.NS) })
	return b
}

func (b *booth) state() redisledger.TicketState {
	b.t.Helper()
	state, err := b.ledger.Ticket(b.t.Context(), b.fence, boothBallot)
	if err != nil {
		b.t.Fatal(err)
	}
	return state
}

// proposal is a ticket of a minute with 10 uses.
func proposal(number, fence int64) redisledger.Mint {
	return redisledger.Mint{
		Number: number, Version: fmt.Sprintf("7.%d.%d", number, fence), Value: fmt.Sprintf("value-%d", number),
		Cap: 10, Interval: time.Minute, Fence: fence,
	}
}

func (b *booth) propose(m redisledger.Mint) (redisledger.Minted, time.Time, time.Time) {
	b.t.Helper()
	done, created, expires, err := b.ledger.Mint(b.t.Context(), b.fence, boothBallot, m)
	if err != nil {
		b.t.Fatal(err)
	}
	return done, created, expires
}

func (b *booth) want(m redisledger.Mint, want redisledger.Minted) {
	b.t.Helper()
	if done, _, _ := b.propose(m); done != want {
		b.t.Fatalf("ticket %d under fence %d: %s, want %s", m.Number, m.Fence, done, want)
	}
}

// newest is what stands under the published key.
func (b *booth) newest() string {
	b.t.Helper()
	version, err := b.rdb.Get(b.t.Context(), "{"+boothBallot+"}:"+b.fence.NS+":newestTicketVersion").Result()
	if err != nil {
		b.t.Fatal(err)
	}
	return version
}

// use admits votes on a ticket by its value.
func (b *booth) use(value string, votes int) redisledger.GroupVerdict {
	b.t.Helper()
	a, _ := b.ledger.Admit(b.t.Context(), b.fence, &redisledger.Batch{
		ID: uuid.Must(uuid.NewV7()), Ballot: boothBallot, Payload: []byte("votes"), Tickets: []string{value},
		Groups: []redisledger.Group{{Votes: votes}},
	}, 1000, nil)
	if a.Err != nil {
		b.t.Fatal(a.Err)
	}
	return a.Verdict.Groups[0]
}

func TestS13FirstTicketAndSuccessor(t *testing.T) {
	b := newBooth(t)
	if s := b.state(); s.Newest != nil || s.LastNumber != 0 || s.Successor != "" || s.Usable() {
		t.Fatalf("before the first ticket: %+v", s)
	}
	before := b.state().Now
	done, created, expires := b.propose(proposal(1, 5))
	after := b.state()
	if done != redisledger.MintDone || created.Before(before) || created.After(after.Now) {
		t.Fatalf("%s, created %v, between %v and %v", done, created, before, after.Now)
	}
	if expires.Sub(created) != time.Minute {
		t.Fatalf("lasts %v", expires.Sub(created))
	}
	want := redisledger.Ticket{Value: "value-1", Version: "7.1.5", Cap: 10, Left: 10, CreatedAt: created, ExpiresAt: expires}
	if *after.Newest != want || after.LastNumber != 1 || after.Successor != "" || !after.Usable() {
		t.Fatalf("%+v", after)
	}
	done, next, end := b.propose(proposal(2, 5))
	if done != redisledger.MintDone || !next.Equal(expires) || end.Sub(next) != time.Minute {
		t.Fatalf("%s: successor from %v to %v, the first ends at %v", done, next, end, expires)
	}
	s := b.state()
	if *s.Newest != want || s.LastNumber != 2 || s.Successor != "7.2.5" {
		t.Fatalf("%+v", s)
	}
}

func TestMintRefusesWhatIsNotMissing(t *testing.T) {
	b := newBooth(t)
	b.want(proposal(2, 5), redisledger.MintStale) // a number left out
	b.want(proposal(1, 5), redisledger.MintDone)
	b.want(proposal(1, 5), redisledger.MintStale) // the same again, as after a lost reply
	b.want(proposal(3, 5), redisledger.MintStale)
	b.want(proposal(2, 5), redisledger.MintDone)
	b.want(proposal(3, 5), redisledger.MintAlready)
	if s := b.state(); s.LastNumber != 2 || s.Newest.Value != "value-1" {
		t.Fatalf("a refused proposal had an effect: %+v", s)
	}
}

func TestMintKeepsAnEarlierHolderOut(t *testing.T) {
	b := newBooth(t)
	b.want(proposal(1, 5), redisledger.MintDone)
	b.want(proposal(2, 4), redisledger.MintFenced)
	if s := b.state(); s.LastNumber != 1 || s.Successor != "" {
		t.Fatalf("a fenced proposal had an effect: %+v", s)
	}
	b.want(proposal(2, 5), redisledger.MintDone)
}

// Fences are compared as numbers: 10 is later than 9.
func TestMintComparesFencesAsNumbers(t *testing.T) {
	b := newBooth(t)
	b.want(proposal(1, 9), redisledger.MintDone)
	b.want(proposal(2, 10), redisledger.MintDone)
}

// Many minters at once, over several windows: the numbers have no gap and come once, and each window begins exactly
// where the one before it ends.
func TestS12OneTicketPerWindowWhoeverMints(t *testing.T) {
	const (
		minters  = 8
		windows  = 6
		interval = 250 * time.Millisecond
	)
	b := newBooth(t)
	type window struct {
		number           int64
		created, expires time.Time
	}
	var (
		mu     sync.Mutex
		minted []window
		group  sync.WaitGroup
	)
	for m := range minters {
		group.Go(func() {
			for {
				state, err := b.ledger.Ticket(t.Context(), b.fence, boothBallot)
				if err != nil || state.LastNumber >= windows {
					if err != nil {
						t.Error(err)
					}
					return
				}
				p := proposal(state.LastNumber+1, 0)
				p.Interval, p.Value = interval, fmt.Sprintf("value-%d-%d", p.Number, m)
				done, created, expires, err := b.ledger.Mint(t.Context(), b.fence, boothBallot, p)
				if err != nil {
					t.Error(err)
					return
				}
				if done == redisledger.MintDone {
					mu.Lock()
					minted = append(minted, window{p.Number, created, expires})
					mu.Unlock()
				}
			}
		})
	}
	group.Wait()
	slices.SortFunc(minted, func(a, b window) int { return int(a.number - b.number) })
	if len(minted) != windows {
		t.Fatalf("%d tickets for %d windows", len(minted), windows)
	}
	for i, w := range minted {
		if w.number != int64(i+1) || w.expires.Sub(w.created) != interval {
			t.Errorf("ticket %d: %+v", i+1, w)
		}
		if i > 0 && !w.created.Equal(minted[i-1].expires) {
			t.Errorf("ticket %d begins %v after the end of the one before", w.number, w.created.Sub(minted[i-1].expires))
		}
	}
}

// At the end of a window the successor is the newest by itself: nobody has to do anything for it.
func TestS15NewestVersionFollowsTheRotation(t *testing.T) {
	b := newBooth(t)
	short := proposal(1, 5)
	short.Interval = 300 * time.Millisecond
	b.want(short, redisledger.MintDone)
	b.want(proposal(2, 5), redisledger.MintDone)
	if got := b.newest(); got != "7.1.5" {
		t.Fatalf("newest is %s", got)
	}
	if v := b.use("value-2", 1); v.Accepted != 0 {
		t.Fatal("the successor admits before its window")
	}
	if v := b.use("value-1", 3); v.Accepted != 3 {
		t.Fatalf("the current ticket: %+v", v)
	}
	first := b.state()
	testenv.Eventually(t, 5*time.Second, func() error {
		if s := b.state(); s.Now.Before(first.Newest.ExpiresAt) {
			return errors.New("the window lasts")
		}
		return nil
	})
	// A vote is the first to come after the rotation.
	if v := b.use("value-2", 4); v.Accepted != 4 {
		t.Fatalf("the successor: %+v", v)
	}
	if v := b.use("value-1", 1); v.Accepted != 0 || v.Code != redisledger.Superseded {
		t.Fatalf("the ticket before: %+v", v)
	}
	s := b.state()
	if s.Newest.Version != "7.2.5" || s.Newest.Left != 6 || !s.Newest.CreatedAt.Equal(first.Newest.ExpiresAt) || s.Successor != "" {
		t.Fatalf("%+v", s)
	}
	if got := b.newest(); got != "7.2.5" {
		t.Fatalf("newest is %s", got)
	}
	b.want(proposal(3, 5), redisledger.MintDone)
	if s := b.state(); s.Newest.Left != 6 || s.Successor != "7.3.5" {
		t.Fatalf("minting the next changed the current: %+v", s)
	}
}

func TestExpiryWithoutSuccessor(t *testing.T) {
	b := newBooth(t)
	short := proposal(1, 5)
	short.Interval = 50 * time.Millisecond
	b.want(short, redisledger.MintDone)
	testenv.Eventually(t, 5*time.Second, func() error {
		if b.state().Usable() {
			return errors.New("usable")
		}
		return nil
	})
	if s := b.state(); s.Newest == nil || s.Now.Before(s.Newest.ExpiresAt) {
		t.Fatalf("not usable, and not expired: %+v", s)
	}
	if v := b.use("value-1", 1); v.Accepted != 0 || v.Code != redisledger.Expired {
		t.Fatalf("an expired ticket: %+v", v)
	}
	// After a gap the window begins when the ticket is made, not in the past.
	now := b.state().Now
	done, created, _ := b.propose(proposal(2, 5))
	if done != redisledger.MintDone || created.Before(now) {
		t.Fatalf("%s, created %v, asked at %v", done, created, now)
	}
	if s := b.state(); s.Newest.Version != "7.2.5" || b.newest() != "7.2.5" || !s.Usable() {
		t.Fatalf("%+v", s)
	}
}

// A successor whose whole window has passed unseen does not live on.
func TestMissedSuccessorIsReplaced(t *testing.T) {
	b := newBooth(t)
	for n := range int64(2) {
		short := proposal(n+1, 5)
		short.Interval = 40 * time.Millisecond
		b.want(short, redisledger.MintDone)
	}
	over := b.state().Now.Add(200 * time.Millisecond)
	testenv.Eventually(t, 5*time.Second, func() error {
		now, err := b.rdb.Time(t.Context()).Result() // no script: nobody promotes the successor
		if err == nil && now.Before(over) {
			err = errors.New("the windows may last")
		}
		return err
	})
	b.want(proposal(3, 5), redisledger.MintDone)
	s := b.state()
	if s.Newest.Version != "7.3.5" || s.Successor != "" || !s.Usable() || b.newest() != "7.3.5" {
		t.Fatalf("%+v", s)
	}
	if v := b.use("value-2", 1); v.Accepted != 0 {
		t.Fatal("the missed ticket admits")
	}
}

func TestNoCap(t *testing.T) {
	b := newBooth(t)
	free := proposal(1, 5)
	free.Cap = redisledger.NoCap
	b.want(free, redisledger.MintDone)
	if v := b.use("value-1", 100_000); v.Accepted != 100_000 {
		t.Fatalf("%+v", v)
	}
	if s := b.state(); s.Newest.Cap != redisledger.NoCap || s.Newest.Left != redisledger.NoCap {
		t.Fatalf("%+v", s.Newest)
	}
}

func TestCapOfTheSuccessorIsItsOwn(t *testing.T) {
	b := newBooth(t)
	short := proposal(1, 5)
	short.Interval = 100 * time.Millisecond
	b.want(short, redisledger.MintDone)
	free := proposal(2, 5)
	free.Cap = 3
	b.want(free, redisledger.MintDone)
	testenv.Eventually(t, 5*time.Second, func() error {
		if s := b.state(); s.Newest.Version != "7.2.5" {
			return errors.New("not rotated")
		}
		return nil
	})
	if s := b.state(); s.Newest.Cap != 3 || s.Newest.Left != 3 {
		t.Fatalf("%+v", s.Newest)
	}
	if v := b.use("value-2", 5); v.Accepted != 3 || v.Code != redisledger.Exhausted {
		t.Fatalf("%+v", v)
	}
}

func TestTicketsOfAnotherEpochAreNotTouched(t *testing.T) {
	b := newBooth(t)
	b.want(proposal(1, 5), redisledger.MintDone)
	other := map[string]redisledger.Fence{
		"epoch": {Epoch: 8, NS: b.fence.NS},
		"name":  {Epoch: 7, NS: "elsewhere"},
	}
	for name, fence := range other {
		if _, err := b.ledger.Ticket(t.Context(), fence, boothBallot); !errors.Is(err, redisledger.ErrWrongEpoch) {
			t.Errorf("another %s: read: %v", name, err)
		}
		if _, _, _, err := b.ledger.Mint(t.Context(), fence, boothBallot, proposal(2, 5)); !errors.Is(err, redisledger.ErrWrongEpoch) {
			t.Errorf("another %s: mint: %v", name, err)
		}
	}
	if s := b.state(); s.LastNumber != 1 {
		t.Fatalf("%+v", s)
	}
	if err := b.ledger.Seal(t.Context(), b.fence, boothBallot); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := b.ledger.Mint(t.Context(), b.fence, boothBallot, proposal(2, 5)); !errors.Is(err, redisledger.ErrWrongEpoch) {
		t.Errorf("sealed: %v", err)
	}
}
