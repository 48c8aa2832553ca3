package persist

import (
	"sync"
	"sync/atomic"
	"time"
)

// part is one partition during one ownership.
type part struct {
	id     int32
	next   atomic.Int64 // where the next transaction begins; written by apply alone
	halted atomic.Bool
	marks  marks
	// waiting is a foreign record that is not in the dead-letter topic yet, and what stands behind it; only for apply.
	waiting []*item
}

// owned are the partitions of this process.
type owned struct {
	// turn is held by each attempt of a transaction, and by whoever takes partitions away.
	turn sync.Mutex

	mu    sync.Mutex // guards parts
	parts map[int32]*part
}

func newOwned() *owned { return &owned{parts: map[int32]*part{}} }

func (o *owned) add(id int32, next int64) {
	p := &part{id: id}
	p.next.Store(next)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.parts[id] = p
}

// remove waits until no transaction of these partitions is on its way.
func (o *owned) remove(ids []int32) {
	o.turn.Lock()
	defer o.turn.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range ids {
		delete(o.parts, id)
	}
}

// get returns the current ownership of a partition, or nil.
func (o *owned) get(id int32) *part {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.parts[id]
}

// has says whether an ownership still lasts and its partition goes on.
func (o *owned) has(p *part) bool { return o.get(p.id) == p && !p.halted.Load() }

func (o *owned) all() []*part {
	o.mu.Lock()
	defer o.mu.Unlock()
	parts := make([]*part, 0, len(o.parts))
	for _, p := range o.parts {
		parts = append(parts, p)
	}
	return parts
}

// maxMarks is how many marks of one partition are kept: at one a second more than a minute of lag. Further ones are left
// out until older ones are passed, and the time that is recorded then is a little older than need be.
const maxMarks = 64

// marks remember where a partition ended at certain moments. Once everything before such an end is applied, so is every
// record that was appended before that moment.
type marks struct {
	mu    sync.Mutex
	waits []mark
	last  time.Time // the last moment up to which everything is known to be applied; zero at first
	since time.Time // of the first mark, for a partition of which nothing else is known
}

type mark struct {
	at  time.Time // of the Postgres clock, taken before Kafka was asked
	end int64
}

func (m *marks) add(at time.Time, end int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.since.IsZero() {
		m.since = at
	}
	if len(m.waits) < maxMarks {
		m.waits = append(m.waits, mark{at, end})
	}
}

// reached returns the last moment whose end is at most next; zero if there is none.
func (m *marks) reached(next int64) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	var at time.Time
	for _, w := range m.waits {
		if w.end <= next {
			at = w.at
		}
	}
	return at
}

// forget drops the marks that reached has returned, now that they are recorded.
func (m *marks) forget(next int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept := m.waits[:0]
	for _, w := range m.waits {
		if w.end > next {
			kept = append(kept, w)
		} else {
			m.last = w.at
		}
	}
	m.waits = kept
}

// passed says that everything before a moment is applied.
func (m *marks) passed(at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = at
}

// age is how long ago everything was applied, as far as this ownership knows.
func (m *marks) age(now time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last.IsZero() {
		return now.Sub(m.since)
	}
	return now.Sub(m.last)
}
