package cache

import (
	"sync"
	"time"
)

const (
	// repairPause is how often it is looked whether something can be put right.
	repairPause = 100 * time.Millisecond
	// maxDirt bounds what is remembered of an outage. What is beyond it may be read in its old version from Redis
	// afterwards, for as long as its entry there lasts.
	maxDirt = 100_000
)

// dirt are the things of which Redis may hold an old version that nobody has been told about.
type dirt struct {
	mu    sync.Mutex
	since map[ID]int64
	count int64
}

func newDirt() *dirt { return &dirt{since: make(map[ID]int64)} }

func (d *dirt) add(id ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.since) < maxDirt || d.since[id] != 0 {
		d.count++
		d.since[id] = d.count
	}
}

func (d *dirt) has(id ID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.since[id] != 0
}

// some returns at most n of them.
func (d *dirt) some(n int) []ID {
	d.mu.Lock()
	defer d.mu.Unlock()
	var ids []ID
	for id := range d.since {
		if len(ids) == n {
			break
		}
		ids = append(ids, id)
	}
	return ids
}

// marks tells the moments at which they became dirty.
func (d *dirt) marks(ids []ID) map[ID]int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	marks := make(map[ID]int64, len(ids))
	for _, id := range ids {
		marks[id] = d.since[id]
	}
	return marks
}

// clean forgets one, unless it has become dirty again.
func (d *dirt) clean(id ID, mark int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.since[id] == mark {
		delete(d.since, id)
	}
}
