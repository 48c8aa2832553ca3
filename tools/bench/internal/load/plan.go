package load

import (
	"context"
	"time"

	"github.com/littlevote/littlevote/tools/bench/internal/operation"
)

// Plan is one run.
type Plan struct {
	Rate     float64 // requests a second in an open loop; 0 is the closed loop
	WarmUp   time.Duration
	Duration time.Duration // of the window, after the warm-up
	// Sleep waits for a short while, as exactly as it can. Nil is time.Sleep.
	Sleep func(time.Duration)
}

// Client sends one request at a time.
type Client interface {
	// Ready returns when a request can be sent: it connects, and waits for what the request needs. It is no part of a
	// closed loop's latency.
	Ready(ctx context.Context) error
	// Do sends the next request and judges the answer. A request that was sent is waited for even if ctx has ended.
	Do(ctx context.Context) operation.Answer
	Close()
}

// schedule knows when an open loop's requests are due.
type schedule struct {
	start    time.Time
	interval float64 // nanoseconds; a fraction of one would add up to seconds in a long run
}

func newSchedule(start time.Time, rate float64) schedule {
	return schedule{start: start, interval: float64(time.Second) / rate}
}

func (s schedule) due(number int64) time.Time {
	return s.start.Add(time.Duration(float64(number) * s.interval))
}
