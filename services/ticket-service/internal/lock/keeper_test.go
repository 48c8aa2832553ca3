package lock

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/littlevote/littlevote/libs/testenv"
)

// run starts a keeper; stop ends it cleanly and waits.
func run(t *testing.T, b Backend, ttl time.Duration) (k *Keeper, stop func()) {
	t.Helper()
	k = NewKeeper(b, ttl, discard())
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		if err := k.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	stop = func() {
		cancel()
		done.Wait()
	}
	t.Cleanup(stop)
	return k, stop
}

func waitHold(t *testing.T, k *Keeper) *Hold {
	t.Helper()
	var h *Hold
	testenv.Eventually(t, 10*time.Second, func() error {
		if h = k.Hold(); h == nil {
			return errors.New("no hold")
		}
		return nil
	})
	return h
}

func waitLost(t *testing.T, h *Hold) {
	t.Helper()
	select {
	case <-h.Lost():
	case <-time.After(10 * time.Second):
		t.Fatal("the hold does not end")
	}
	if h.Valid() {
		t.Fatal("lost and valid")
	}
}

// frozen is a backend whose holder can be stopped as by SIGSTOP, or cut off: from then on no call returns before its
// context ends.
type frozen struct {
	Backend
	cut atomic.Bool
}

type frozenClaim struct {
	Claim
	backend *frozen
}

func (f *frozen) wait(ctx context.Context) error {
	if f.cut.Load() {
		<-ctx.Done()
	}
	return ctx.Err()
}

func (f *frozen) Take(ctx context.Context) (Claim, error) {
	if err := f.wait(ctx); err != nil {
		return nil, err
	}
	c, err := f.Backend.Take(ctx)
	if err != nil {
		return nil, err
	}
	return &frozenClaim{c, f}, nil
}

func (c *frozenClaim) Renew(ctx context.Context) error {
	if err := c.backend.wait(ctx); err != nil {
		return err
	}
	return c.Claim.Renew(ctx)
}

func (c *frozenClaim) Release(ctx context.Context) error {
	if err := c.backend.wait(ctx); err != nil {
		return err
	}
	return c.Claim.Release(ctx)
}

func TestS17FailoverWithinOneLife(t *testing.T) {
	each(t, func(t *testing.T, s store) {
		dying := &frozen{Backend: s.replicas[0]}
		a, _ := run(t, dying, life)
		first := waitHold(t, a)
		b, _ := run(t, s.replicas[1], life)
		dying.cut.Store(true)
		cut := time.Now()
		waitLost(t, first)
		lost := time.Since(cut)
		second := waitHold(t, b)
		took := time.Since(cut)
		t.Logf("lock of %v: the cut holder stopped after %v, the other took over after %v", life, lost, took)
		if lost > life+life/4 {
			t.Errorf("the cut holder went on for %v", lost)
		}
		// etcd looks for leases that ran out twice a second.
		if limit := life + life/10 + 600*time.Millisecond; took > limit {
			t.Errorf("failover took %v, more than %v", took, limit)
		}
		if second.Fence() <= first.Fence() {
			t.Errorf("fence %d after %d", second.Fence(), first.Fence())
		}
	})
}

func TestS17CleanStopHandsOverAtOnce(t *testing.T) {
	each(t, func(t *testing.T, s store) {
		a, stop := run(t, s.replicas[0], life)
		first := waitHold(t, a)
		b, _ := run(t, s.replicas[1], life)
		stop()
		if first.Valid() || a.Hold() != nil {
			t.Error("holds on after the stop")
		}
		stopped := time.Now()
		waitHold(t, b)
		took := time.Since(stopped)
		t.Logf("lock of %v: handed over after %v", life, took)
		if took > life/2 {
			t.Errorf("hand-over took %v", took)
		}
	})
}

func TestS17HolderRenewsByItself(t *testing.T) {
	each(t, func(t *testing.T, s store) {
		a, _ := run(t, s.replicas[0], life)
		hold := waitHold(t, a)
		for end := time.Now().Add(life + life/2); time.Now().Before(end); pause(t.Context(), life/20) {
			if a.Hold() != hold {
				t.Fatal("the hold has ended")
			}
			taken(t, s.replicas[1])
		}
	})
}

func TestStolenLockEndsTheHold(t *testing.T) {
	each(t, func(t *testing.T, s store) {
		a, _ := run(t, s.replicas[0], life)
		first := waitHold(t, a)
		s.steal(t)
		waitLost(t, first)
		if second := waitHold(t, a); second.Fence() <= first.Fence() {
			t.Errorf("fence %d after %d", second.Fence(), first.Fence())
		}
	})
}

func TestResignTakesANewFence(t *testing.T) {
	each(t, func(t *testing.T, s store) {
		a, _ := run(t, s.replicas[0], life)
		first := waitHold(t, a)
		first.Resign()
		waitLost(t, first)
		if second := waitHold(t, a); second.Fence() <= first.Fence() {
			t.Errorf("fence %d after %d", second.Fence(), first.Fence())
		}
	})
}

// slow answers so late that the lock has already run out.
type slow struct{ life time.Duration }

func (s slow) Take(ctx context.Context) (Claim, error) {
	pause(ctx, s.life+s.life/10)
	return slowClaim{life: s.life}, nil
}

type slowClaim struct {
	free
	life time.Duration
}

func (c slowClaim) Fence() int64        { return 1 }
func (c slowClaim) Life() time.Duration { return c.life }

// The life of a hold is counted from before the request, so an answer that was late on its way makes none.
func TestLateAnswerMakesNoHold(t *testing.T) {
	k := NewKeeper(slow{life: 30 * time.Millisecond}, time.Second, discard())
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	var done sync.WaitGroup
	done.Go(func() { _ = k.Run(ctx) })
	for ctx.Err() == nil {
		if k.Hold() != nil {
			t.Error("a hold that was over before it began")
			break
		}
	}
	cancel()
	done.Wait()
}

func TestNoneIsAlwaysHeld(t *testing.T) {
	a, _ := run(t, None{}, time.Second)
	b, _ := run(t, None{}, time.Second)
	if waitHold(t, a).Fence() != 0 || waitHold(t, b).Fence() != 0 {
		t.Error("a fence without a lock")
	}
}
