// Package groupcommit gathers what arrives while earlier work is in flight, and hands it over together when that
// returns. There is no timer: an idle system adds no latency, a busy one forms large batches by itself.
//
// Queue is for callers that steer the taking themselves; Batcher runs a fixed number of workers over a Queue. Both are
// bounded: a full queue refuses at once, so that overload is a typed answer and not a growing wait.
package groupcommit

import (
	"context"
	"errors"
	"sync"
)

// ErrFull says that the queue is at its bound; nothing was queued.
var ErrFull = errors.New("groupcommit: queue is full")

// ErrClosed says that no more is taken in; nothing was queued.
var ErrClosed = errors.New("groupcommit: queue is closed")

// Queue holds items until a worker takes them, first in first out.
type Queue[T any] struct {
	maxBatch  int
	maxWeight int
	max       int
	weight    func(T) int

	mu     sync.Mutex
	items  []T
	closed bool
	ready  chan struct{} // holds one token while items wait
	ended  chan struct{}
}

// NewQueue returns a queue of at most maxItems, handing over at most maxBatch at a time, and of these only as many as
// weigh maxWeight together (but at least one). A nil weight means that items weigh nothing.
func NewQueue[T any](maxItems, maxBatch, maxWeight int, weight func(T) int) *Queue[T] {
	return &Queue[T]{
		maxBatch:  maxBatch,
		maxWeight: maxWeight,
		max:       maxItems,
		weight:    weight,
		ready:     make(chan struct{}, 1),
		ended:     make(chan struct{}),
	}
}

// Put queues items together, so that one batch has as many of them as it holds, or returns ErrFull or ErrClosed at once.
func (q *Queue[T]) Put(items ...T) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ErrClosed
	}
	if len(q.items)+len(items) > q.max {
		return ErrFull
	}
	q.items = append(q.items, items...)
	q.signal()
	return nil
}

// Take waits for items and returns the next batch; nil once the queue is closed and empty, or ctx is done.
func (q *Queue[T]) Take(ctx context.Context) []T {
	for {
		if batch := q.TryTake(); batch != nil {
			return batch
		}
		select {
		case <-q.ready:
		case <-q.ended:
			return q.TryTake()
		case <-ctx.Done():
			return nil
		}
	}
}

// TryTake returns what waits now, at most one batch; nil if nothing does.
func (q *Queue[T]) TryTake() []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == 0 {
		return nil
	}
	n := q.batchLen()
	batch := q.items[:n:n]
	if n == len(q.items) {
		q.items = nil
	} else {
		q.items = q.items[n:]
		q.signal() // another worker may go on with the rest
	}
	return batch
}

// Len returns how many items wait.
func (q *Queue[T]) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items)
}

// Close refuses new items; those that wait are still handed over.
func (q *Queue[T]) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed = true
		close(q.ended)
	}
}

func (q *Queue[T]) batchLen() int {
	n := min(len(q.items), q.maxBatch)
	if q.weight == nil {
		return n
	}
	total := 0
	for i, item := range q.items[:n] {
		total += q.weight(item)
		if total > q.maxWeight && i > 0 {
			return i
		}
	}
	return n
}

func (q *Queue[T]) signal() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}
