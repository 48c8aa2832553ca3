package sim

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"
)

// world is everything in one schedule.
type world struct {
	seed  uint64
	plan  plan
	begin time.Time
	stop  context.Context // ends with the schedule
	all   sync.WaitGroup  // every goroutine of the world's own

	redis *redis
	pg    *postgres
	log   *topic

	mu        sync.Mutex
	times     map[string]uint64 // how often each dice was taken
	names     map[uuid.UUID]string
	trace     []string
	hash      uint64
	verbose   bool
	instances []*instance
	votes     []*request
	acks      []ack
	broken    []string
}

// dice are those of a call: of the seed, its name, and how often it was called before.
func (w *world) dice(name string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(name))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.times[name]++
	return rand.New(rand.NewPCG(w.seed^h.Sum64(), w.times[name]))
}

// note writes down what happened; the hash of all that is how two runs are compared.
func (w *world) note(format string, args ...any) {
	line := fmt.Sprintf("%12s  ", time.Since(w.begin)) + fmt.Sprintf(format, args...)
	h := fnv.New64a()
	h.Write([]byte(line))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hash = w.hash*31 + h.Sum64()
	if w.verbose {
		w.trace = append(w.trace, line)
	}
}

// fail notes a broken promise.
func (w *world) fail(format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	w.note("BROKEN: %s", what)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = append(w.broken, what)
}

// named gives a batch a name that does not depend on its random id.
func (w *world) named(batch uuid.UUID, name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.names[batch] = name
}

func (w *world) nameOf(batch uuid.UUID) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n, ok := w.names[batch]; ok {
		return n
	}
	return "?"
}

// sleep waits; false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// latency is mostly short, and never the same twice.
func latency(d *rand.Rand, usual time.Duration) time.Duration {
	n := usual/4 + rand3(d, usual)
	switch d.IntN(200) {
	case 0:
		n += rand3(d, 400*time.Millisecond)
	case 1, 2, 3:
		n += rand3(d, 50*time.Millisecond)
	}
	return n
}

func rand3(d *rand.Rand, below time.Duration) time.Duration {
	return time.Duration(d.Int64N(int64(below)))
}

var (
	errNoAnswer = errors.New("sim: no answer in time")
	errRefused  = errors.New("sim: refused")
	errCrashed  = errors.New("sim: this process is dead")
)

// span is a stretch of time in which something is not as it should be.
type span struct{ from, to time.Duration }

func (s span) holds(at time.Duration) bool { return s.from <= at && at < s.to }

func (w *world) now() time.Duration { return time.Since(w.begin) }

// within says whether one of the spans holds now, and until when.
func (w *world) within(spans []span) (time.Duration, bool) {
	now := w.now()
	for _, s := range spans {
		if s.holds(now) {
			return s.to - now, true
		}
	}
	return 0, false
}

// rate is how often something fails; at the end nothing does.
func (w *world) rate(usual float64) float64 {
	if w.now() > w.calm() {
		return 0
	}
	return usual
}
