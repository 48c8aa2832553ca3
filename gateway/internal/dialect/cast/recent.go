package cast

import (
	"slices"
	"sync"
	"sync/atomic"
)

// kept is how many tickets are remembered: CAST forgot a ticket 3 s after its end.
const kept = 3

// recent remembers the tickets that were handed out last, so that who comes too late with one is told so. It decides nothing:
// a ticket of another gateway is merely called invalid.
type recent struct {
	newest atomic.Pointer[string]

	mu     sync.Mutex
	values []string // the last is the newest
}

// saw takes note of a ticket that is handed out.
func (r *recent) saw(value string) {
	if newest := r.newest.Load(); newest != nil && *newest == value {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.Contains(r.values, value) {
		return // a read that was overtaken
	}
	if len(r.values) == kept {
		r.values = slices.Delete(r.values, 0, 1)
	}
	r.values = append(r.values, value)
	r.newest.Store(&value)
}

func (r *recent) has(value string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.values, value)
}
