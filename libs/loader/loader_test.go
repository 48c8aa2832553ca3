package loader

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"

	"github.com/littlevote/littlevote/libs/testenv"
)

// gate is a fetch that tells when it was called and waits until it is let through.
type gate struct {
	called  chan []int
	through chan error
	most    atomic.Int64
	now     atomic.Int64
}

func newGate() *gate {
	return &gate{called: make(chan []int, 100), through: make(chan error, 100)}
}

// fetch answers key n with n*10, and knows nothing of negative ones.
func (g *gate) fetch(_ context.Context, keys []int) (map[int]int, error) {
	now := g.now.Add(1)
	defer g.now.Add(-1)
	for most := g.most.Load(); now > most && !g.most.CompareAndSwap(most, now); most = g.most.Load() {
	}
	g.called <- keys
	if err := <-g.through; err != nil {
		return nil, err
	}
	values := map[int]int{}
	for _, k := range keys {
		if k >= 0 {
			values[k] = k * 10
		}
	}
	return values, nil
}

func newTestLoader(t *testing.T, g *gate, workers, batch, queue int) *Loader[int, int] {
	t.Helper()
	l := New(Config{Workers: workers, Batch: batch, Queue: queue, Timeout: time.Minute}, g.fetch)
	t.Cleanup(l.Close)
	return l
}

// joined waits until n callers stand in a key's place, or wait for one.
func joined(t *testing.T, l *Loader[int, int], waiting int) {
	t.Helper()
	testenv.Eventually(t, 10*time.Second, func() error {
		if n := l.Waiting(); n != waiting {
			return fmt.Errorf("%d keys wait, want %d", n, waiting)
		}
		return nil
	})
}

func TestS58ManyReadersOfOneKeyAreOneFetch(t *testing.T) {
	g := newGate()
	l := newTestLoader(t, g, 4, 10, 10)
	var wg sync.WaitGroup
	load := func() {
		if got, err := l.Load(t.Context(), []int{7}, false); err != nil || got[7] != 70 {
			t.Errorf("%v, %v", got, err)
		}
	}
	wg.Go(load)
	<-g.called
	var began sync.WaitGroup
	for range 100 {
		began.Add(1)
		wg.Go(func() {
			calls, err := l.join([]int{7}, false, trace.SpanFromContext(t.Context()))
			began.Done()
			if err != nil {
				t.Error(err)
				return
			}
			<-calls[7].done
			if calls[7].value != 70 {
				t.Error(calls[7].value)
			}
		})
	}
	began.Wait()
	g.through <- nil
	wg.Wait()
	if len(g.called) != 0 {
		t.Errorf("there were %d more fetches", len(g.called))
	}
}

func TestS58OneCallersEndDoesNotFailTheOthers(t *testing.T) {
	g := newGate()
	l := newTestLoader(t, g, 1, 10, 10)
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		_, err := l.Load(ctx, []int{1}, false)
		gone <- err
	}()
	<-g.called // by the caller that will leave
	other := make(chan error, 1)
	calls, err := l.join([]int{1}, false, trace.SpanFromContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	go func() { <-calls[1].done; other <- calls[1].err }()
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("who left got %v", err)
	}
	g.through <- nil
	if err := <-other; err != nil {
		t.Errorf("who stayed got %v", err)
	}
}

// Who wants a current value joins no fetch that is on its way, and those are one fetch again.
func TestACurrentReadIsNeverOlderThanItsBegin(t *testing.T) {
	g := newGate()
	l := newTestLoader(t, g, 4, 10, 10)
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = l.Load(t.Context(), []int{1}, false) })
	<-g.called
	for range 10 {
		calls, err := l.join([]int{1}, true, trace.SpanFromContext(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			if <-calls[1].done; calls[1].value != 10 {
				t.Error(calls[1].value)
			}
		})
	}
	testenv.Eventually(t, 10*time.Second, func() error { // the second worker has found nothing that may be sent
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.workers != 1 || len(l.order) != 1 {
			return fmt.Errorf("%d workers, %d keys wait", l.workers, len(l.order))
		}
		return nil
	})
	g.through <- nil
	<-g.called
	g.through <- nil
	wg.Wait()
	if len(g.called) != 0 {
		t.Errorf("there were %d more fetches", len(g.called))
	}
}

func TestFetchesAreBatchedAndBounded(t *testing.T) {
	g := newGate()
	l := newTestLoader(t, g, 2, 3, 6)
	var wg sync.WaitGroup
	load := func(want error, keys ...int) {
		wg.Go(func() {
			if _, err := l.Load(t.Context(), keys, false); !errors.Is(err, want) {
				t.Errorf("%v: %v, want %v", keys, err, want)
			}
		})
	}
	load(nil, 1)
	<-g.called
	load(nil, 2)
	<-g.called
	load(nil, 3, 4, 5, 6, 7, 8)
	joined(t, l, 6)
	if _, err := l.Load(t.Context(), []int{9}, false); !errors.Is(err, ErrOverloaded) {
		t.Errorf("a full queue says %v", err)
	}
	if _, err := l.join([]int{3, 1}, false, trace.SpanFromContext(t.Context())); err != nil {
		t.Errorf("joining needs no room: %v", err)
	}
	g.through <- nil
	if diff := cmp.Diff([]int{3, 4, 5}, <-g.called); diff != "" {
		t.Error(diff)
	}
	for range 3 {
		g.through <- nil
	}
	wg.Wait()
	if g.most.Load() > 2 {
		t.Errorf("%d fetches at once", g.most.Load())
	}
}

func TestAFailedFetchFailsItsCallersAndNoOthers(t *testing.T) {
	g, away := newGate(), errors.New("away")
	l := newTestLoader(t, g, 1, 10, 10)
	g.through <- away
	if _, err := l.Load(t.Context(), []int{1, 2}, false); !errors.Is(err, away) {
		t.Errorf("got %v", err)
	}
	g.through <- nil
	if got, err := l.Load(t.Context(), []int{1, -2}, false); err != nil || cmp.Diff(map[int]int{1: 10}, got) != "" {
		t.Errorf("afterwards %v, %v", got, err)
	}
}
