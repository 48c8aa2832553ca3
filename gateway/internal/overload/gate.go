package overload

import (
	"sync"
	"time"
)

const (
	// grace is how long a queue may be long before its speed is judged.
	grace = 100 * time.Millisecond
	// memory is how far back the judgement looks, about.
	memory = time.Second
	// shortestRetry and longestRetry bound when a refused caller is told to come back.
	shortestRetry = 200 * time.Millisecond
	longestRetry  = 5 * time.Second
	// fewest may always wait, whatever a service behind refuses.
	fewest = 20
	// growth is by which part of what is served without a refusal the limit grows that a refusal has taught.
	growth = 0.02
)

// Observer is told what became of everything that came to a Gate.
type Observer interface {
	Served(n int)
	Refused()
}

// Gate decides who may join a queue. All methods may be called at once.
type Gate struct {
	free     int           // this many may always wait
	longest  time.Duration // the wait beyond which others are refused
	observer Observer
	now      func() time.Time

	mu    sync.Mutex
	since time.Time // since when the queue is longer than free; zero: it is not
	left  float64   // how many left it since then, older ones counting less

	waiting int     // when the last one came
	limit   float64 // how many may wait since the service behind has refused some; 0: it has not
}

// NewGate returns a gate before a queue in which free may always wait, and others for at most longest.
func NewGate(free int, longest time.Duration, observer Observer, now func() time.Time) *Gate {
	return &Gate{free: free, longest: longest, observer: observer, now: now}
}

// Admit decides about one more in a queue in which this many wait; if it may not join, it should come back after retry.
func (g *Gate) Admit(waiting int) (retry time.Duration, ok bool) {
	if wait := g.judge(waiting); wait > g.longest {
		g.observer.Refused()
		return min(max(wait, shortestRetry), longestRetry), false
	}
	return 0, true
}

// judge returns how long one more would wait, 0 where that is not known or does not matter.
func (g *Gate) judge(waiting int) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = waiting
	if g.limit > 0 && float64(waiting) >= g.limit {
		return shortestRetry + g.longest
	}
	if waiting < g.free {
		g.since = time.Time{}
		return 0
	}
	if g.since.IsZero() {
		g.since, g.left = g.now(), 0
		return 0
	}
	elapsed := g.now().Sub(g.since)
	if elapsed < grace {
		return 0
	}
	if g.left == 0 {
		return longestRetry + g.longest // nothing moves
	}
	return time.Duration(float64(waiting) / g.left * float64(elapsed))
}

// Full says that one more found no place at all.
func (g *Gate) Full() { g.observer.Refused() }

// Left says that so many have left the queue and were answered; some of them were refused by an overloaded service behind.
func (g *Gate) Left(n, refused int) {
	g.observer.Served(n - refused)
	for range refused {
		g.observer.Refused()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.learn(n, refused)
	if g.since.IsZero() {
		return
	}
	g.left += float64(n)
	if elapsed := g.now().Sub(g.since); elapsed > memory {
		g.left /= 2
		g.since = g.since.Add(elapsed / 2)
	}
}

// learn finds how many may wait before a service that refuses: those that it would refuse had better be refused here, at once,
// than after they have waited. What it takes without a refusal makes the limit grow, until it is of no use.
func (g *Gate) learn(n, refused int) {
	switch {
	case refused > 0:
		if g.limit == 0 {
			g.limit = float64(max(g.waiting, g.free))
		}
		g.limit = max(fewest, min(g.limit, float64(g.waiting))-float64(refused))
	case g.limit > 0:
		g.limit += growth * float64(n)
		if g.limit > float64(4*max(g.free, fewest)) {
			g.limit = 0
		}
	}
}
