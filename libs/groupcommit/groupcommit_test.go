package groupcommit

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
)

func TestQueueHandsOverInOrderAndWithinBounds(t *testing.T) {
	q := NewQueue(5, 3, 10, func(n int) int { return n })
	for _, n := range []int{4, 4, 4, 20, 1} {
		if err := q.Put(n); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.Put(9); !errors.Is(err, ErrFull) {
		t.Fatalf("sixth item: %v, want ErrFull", err)
	}
	// By weight: 4+4, then 4 alone since 4+20 is too heavy, then 20 although it alone is over the bound, then 1.
	for _, want := range [][]int{{4, 4}, {4}, {20}, {1}} {
		if got := q.Take(t.Context()); !slices.Equal(got, want) {
			t.Fatalf("took %v, want %v", got, want)
		}
	}
	if got := q.TryTake(); got != nil {
		t.Fatalf("took %v from an empty queue", got)
	}
}

// What is put together is never parted by a worker that was waiting, and goes in whole or not at all.
func TestWhatIsPutTogetherStaysTogether(t *testing.T) {
	batches := make(chan []int, 1)
	b := New(Config{Workers: 4, MaxBatch: 100, MaxQueue: 100}, func(_ context.Context, batch []int) { batches <- batch })
	list := make([]int, 100)
	for range 200 {
		if err := b.Put(list...); err != nil {
			t.Fatal(err)
		}
		if got := <-batches; len(got) != 100 {
			t.Fatalf("parted after %d", len(got))
		}
	}
	if err := b.Put(make([]int, 101)...); !errors.Is(err, ErrFull) {
		t.Fatalf("more than there is room for: %v", err)
	}
	if n := b.Len(); n != 0 {
		t.Errorf("%d of them were queued", n)
	}
	b.Close(t.Context())
}

func TestClosedQueueDrainsAndRefuses(t *testing.T) {
	q := NewQueue[int](5, 5, 0, nil)
	_ = q.Put(1)
	q.Close()
	q.Close()
	if err := q.Put(2); !errors.Is(err, ErrClosed) {
		t.Fatalf("put after close: %v", err)
	}
	if got := q.Take(t.Context()); !slices.Equal(got, []int{1}) {
		t.Fatalf("took %v, want what waited", got)
	}
	if got := q.Take(t.Context()); got != nil {
		t.Fatalf("took %v, want nil at the end", got)
	}
}

func TestTakeEndsWithContext(t *testing.T) {
	q := NewQueue[int](1, 1, 0, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := q.Take(ctx); got != nil {
		t.Fatalf("took %v", got)
	}
}

func TestBatcherGathersWhileInFlight(t *testing.T) {
	entered, release := make(chan []int), make(chan struct{})
	b := New(Config{Workers: 1, MaxBatch: 100, MaxQueue: 100}, func(_ context.Context, batch []int) {
		entered <- batch
		<-release
	})
	_ = b.Put(0)
	if got := <-entered; len(got) != 1 {
		t.Fatalf("first batch %v: an idle batcher must not wait for more", got)
	}
	for i := range 50 {
		_ = b.Put(i + 1)
	}
	release <- struct{}{}
	if got := <-entered; len(got) != 50 {
		t.Fatalf("second batch has %d items, want the 50 that came meanwhile", len(got))
	}
	release <- struct{}{}
	b.Close(t.Context())
}

func TestBatcherRunsEveryItemOnce(t *testing.T) {
	var mu sync.Mutex
	seen := map[int]int{}
	b := New(Config{Workers: 4, MaxBatch: 7, MaxQueue: 10_000}, func(_ context.Context, batch []int) {
		mu.Lock()
		defer mu.Unlock()
		for _, n := range batch {
			seen[n]++
		}
	})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 1000 {
				if err := b.Put(g*1000 + i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	b.Close(t.Context())
	if len(seen) != 8000 {
		t.Fatalf("%d items ran, want 8000", len(seen))
	}
	for n, times := range seen {
		if times != 1 {
			t.Fatalf("item %d ran %d times", n, times)
		}
	}
}

func TestCloseCancelsWhatHangs(t *testing.T) {
	b := New(Config{Workers: 1, MaxBatch: 1, MaxQueue: 1}, func(ctx context.Context, _ []int) { <-ctx.Done() })
	_ = b.Put(1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b.Close(ctx)
}
