package voting

import (
	"sync"
	"sync/atomic"
)

// maxTally is the count from which on a candidate gets no more votes: the largest that every client can write as a number.
// It also keeps the sums far from the end of 64 bits, where a settlement would fail half way: a batch adds less than 2^47,
// and what was admitted before its instance saw the bound passed is at most the outbox.
const maxTally = 1 << 53

// full remembers the candidates that have as many votes as one may have, as settlements tell.
type full struct {
	any   atomic.Bool
	names sync.Map
}

// has says whether a candidate gets no more votes.
func (f *full) has(name string) bool {
	if !f.any.Load() {
		return false
	}
	_, found := f.names.Load(name)
	return found
}

// note takes in the count of a candidate.
func (f *full) note(name string, votes int64) {
	switch {
	case votes >= maxTally:
		f.names.Store(name, struct{}{})
		f.any.Store(true)
	case f.any.Load(): // retractions may have made room
		f.names.Delete(name)
	}
}
