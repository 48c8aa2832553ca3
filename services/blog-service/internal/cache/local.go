package cache

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
)

const (
	// floorTTL is how long it is remembered that a version is out of date: longer than a read may hold one in its hands.
	floorTTL = time.Minute
	// floorSize bounds that memory. Changes of more things than this within floorTTL leave LocalTTL as the bound.
	floorSize = 100_000
)

// local is L1 of one kind.
type local[V any] struct {
	entries *otter.Cache[ID, Entry[V]]
	floors  *otter.Cache[ID, int64] // versions below are not let in
	mu      sync.Mutex              // makes a look and what follows from it one
	age     atomic.Int64            // grows when everything goes
}

func newLocal[V any](size int, ttl, absent time.Duration) (*local[V], error) {
	entries, err := otter.New(&otter.Options[ID, Entry[V]]{
		MaximumSize: size,
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[ID, Entry[V]]) time.Duration {
			if e.Value.Version == 0 {
				return min(absent, ttl)
			}
			return ttl
		}),
	})
	if err != nil {
		return nil, fmt.Errorf("local cache: %w", err)
	}
	floors, err := otter.New(&otter.Options[ID, int64]{
		MaximumSize: floorSize, ExpiryCalculator: otter.ExpiryWriting[ID, int64](floorTTL),
	})
	if err != nil {
		return nil, fmt.Errorf("local cache: %w", err)
	}
	return &local[V]{entries: entries, floors: floors}, nil
}

// generation is to be taken before a value is fetched that put gets.
func (l *local[V]) generation() int64 { return l.age.Load() }

func (l *local[V]) get(id ID) (Entry[V], bool) { return l.entries.GetIfPresent(id) }

// put keeps an entry, unless a newer one is known, or everything has gone since it was fetched: in between, nobody told
// about changes.
func (l *local[V]) put(id ID, e Entry[V], generation int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if floor, ok := l.floors.GetIfPresent(id); ok && e.Version < floor || generation != l.age.Load() {
		return
	}
	if have, ok := l.entries.GetIfPresent(id); ok && e.Version <= have.Version {
		return // Not even the same again: that would be as old as before, and last longer.
	}
	l.entries.Set(id, e)
}

// change drops what is older than a version.
func (l *local[V]) change(id ID, version int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if floor, ok := l.floors.GetIfPresent(id); !ok || floor < version {
		l.floors.Set(id, version)
	}
	if have, ok := l.entries.GetIfPresent(id); ok && have.Version < version {
		l.entries.Invalidate(id)
	}
}

// reset drops everything.
func (l *local[V]) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.age.Add(1)
	l.entries.InvalidateAll()
}

func (l *local[V]) size() int { return l.entries.EstimatedSize() }

func (l *local[V]) close() {
	l.entries.StopAllGoroutines()
	l.floors.StopAllGoroutines()
}
