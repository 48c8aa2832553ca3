package ledger

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/redisledger"
)

// beliefs is the epochs that the test sets.
type beliefs struct {
	open     atomic.Pointer[epoch.Ledger]
	suspects atomic.Int64
}

func (b *beliefs) Current() (epoch.Ledger, bool) {
	if l := b.open.Load(); l != nil {
		return *l, true
	}
	return epoch.Ledger{}, false
}

func (b *beliefs) Suspect() { b.suspects.Add(1) }

// store answers with the number of its tickets, or with an error, once it may.
type store struct {
	number int64
	err    error
	may    chan struct{}
	called chan struct{}
}

func (s store) wait() {
	if s.may != nil {
		s.called <- struct{}{}
		<-s.may
	}
}

func (s store) Ticket(context.Context, epoch.Ledger, string) (redisledger.TicketState, error) {
	s.wait()
	return redisledger.TicketState{LastNumber: s.number}, s.err
}

func (s store) Mint(context.Context, epoch.Ledger, string, redisledger.Mint) (redisledger.Minted, time.Time, time.Time, error) {
	s.wait()
	return redisledger.MintDone, time.UnixMilli(s.number), time.UnixMilli(s.number + 1), s.err
}

var (
	inRedis    = epoch.Ledger{Epoch: 1, Mode: epoch.Redis, NS: "ns"}
	inPostgres = epoch.Ledger{Epoch: 2, Mode: epoch.Postgres}
)

// H8: which store it is, is the epoch's decision alone.
func TestH8TheModeChoosesTheStore(t *testing.T) {
	known := &beliefs{}
	tickets := New(known, store{number: 10}, store{number: 20})
	if _, _, err := tickets.Ticket(t.Context(), "main"); !errors.Is(err, ErrOver) {
		t.Errorf("without an epoch: %v", err)
	}
	for want, l := range map[int64]epoch.Ledger{10: inRedis, 20: inPostgres} {
		known.open.Store(&l)
		in, state, err := tickets.Ticket(t.Context(), "main")
		if err != nil || in != l || state.LastNumber != want {
			t.Errorf("%+v: %+v of %+v, %v", l, state, in, err)
		}
		done, created, expires, err := tickets.Mint(t.Context(), l, "main", redisledger.Mint{})
		if err != nil || done != redisledger.MintDone || created.UnixMilli() != want || expires.UnixMilli() != want+1 {
			t.Errorf("%+v: %s, %v to %v, %v", l, done, created, expires, err)
		}
	}
}

// H23: a proposal that was made for one ledger never gets into another.
func TestH23NothingIsMintedInAnotherEpoch(t *testing.T) {
	known := &beliefs{}
	known.open.Store(&inPostgres)
	tickets := New(known, store{}, store{})
	if _, _, _, err := tickets.Mint(t.Context(), inRedis, "main", redisledger.Mint{}); !errors.Is(err, ErrOver) {
		t.Errorf("%v", err)
	}
}

func TestErrorsAskForALook(t *testing.T) {
	known := &beliefs{}
	known.open.Store(&inRedis)
	away := errors.New("away")
	tickets := New(known, store{err: away}, store{})
	if _, _, err := tickets.Ticket(t.Context(), "main"); !errors.Is(err, away) || known.suspects.Load() != 1 {
		t.Errorf("%v, suspected %d times", err, known.suspects.Load())
	}
	if _, _, _, err := tickets.Mint(t.Context(), inRedis, "main", redisledger.Mint{}); !errors.Is(err, away) || known.suspects.Load() != 2 {
		t.Errorf("%v, suspected %d times", err, known.suspects.Load())
	}
}

func TestHangingCallEndsWithItsEpoch(t *testing.T) {
	known := &beliefs{}
	known.open.Store(&inRedis)
	hanging := store{may: make(chan struct{}), called: make(chan struct{})}
	defer close(hanging.may)
	tickets := New(known, hanging, store{number: 20})
	ended := make(chan error)
	go func() {
		_, _, err := tickets.Ticket(t.Context(), "main")
		ended <- err
	}()
	<-hanging.called
	known.open.Store(&inPostgres)
	if err := <-ended; !errors.Is(err, ErrOver) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	known.open.Store(&inRedis)
	go func() {
		_, _, err := tickets.Ticket(ctx, "main")
		ended <- err
	}()
	<-hanging.called
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
