package load

import (
	"maps"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/littlevote/littlevote/tools/bench/internal/operation"
)

const (
	highest = 2 * time.Minute // a latency above it is recorded as it
	digits  = 3
)

// Progress is what a run has come to so far, warm-up included.
type Progress struct {
	Elapsed   time.Duration
	Successes int64
	Refused   int64
	Failed    int64
}

// recorder takes every answer. One lock is enough: it is held for some 50 ns an answer.
type recorder struct {
	start, windowStart, windowEnd time.Time

	mu       sync.Mutex
	latency  *hdrhistogram.Histogram // µs
	window   int64                   // successes answered inside the window
	refused  map[string]int64
	failed   map[string]int64
	unknown  int64
	unsent   int64
	progress Progress
}

func newRecorder(start time.Time, plan Plan) *recorder {
	windowStart := start.Add(plan.WarmUp)
	return &recorder{
		start:       start,
		windowStart: windowStart,
		windowEnd:   windowStart.Add(plan.Duration),
		latency:     hdrhistogram.New(1, highest.Microseconds(), digits),
		refused:     map[string]int64{},
		failed:      map[string]int64{},
	}
}

// record takes the answer to a request that began, or was due, at begin.
func (r *recorder) record(begin, end time.Time, answer operation.Answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	measured := !begin.Before(r.windowStart)
	switch answer.Kind {
	case operation.Success:
		r.progress.Successes++
		if end.After(r.windowStart) && !end.After(r.windowEnd) {
			r.window++
		}
		if measured {
			_ = r.latency.RecordValue(min(end.Sub(begin), highest).Microseconds()) // in range, so it can't fail
		}
	case operation.Refused:
		r.progress.Refused++
		if measured {
			r.refused[answer.Code]++
		}
	case operation.Failed:
		r.progress.Failed++
		if measured {
			r.failed[answer.Code]++
		}
	}
	if answer.Unknown && measured {
		r.unknown++
	}
}

// skip counts a request that was due at a moment and never sent.
func (r *recorder) skip(due time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !due.Before(r.windowStart) {
		r.unsent++
	}
}

func (r *recorder) soFar() Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	progress := r.progress
	progress.Elapsed = time.Since(r.start)
	return progress
}

// result is called when every worker is done.
func (r *recorder) result(stopped time.Time, processor time.Duration) Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	end := r.windowEnd
	if stopped.Before(end) {
		end = stopped
	}
	return Result{
		Window:    max(end.Sub(r.windowStart), 0),
		Successes: r.window,
		Refused:   maps.Clone(r.refused),
		Failed:    maps.Clone(r.failed),
		Unknown:   r.unknown,
		Unsent:    r.unsent,
		Processor: processor,
		Latency: Latency{
			P50: r.percentile(50), P90: r.percentile(90), P99: r.percentile(99), P999: r.percentile(99.9),
			Max: microseconds(r.latency.Max()), Samples: r.latency.TotalCount(),
		},
	}
}

func (r *recorder) percentile(percent float64) time.Duration {
	return microseconds(r.latency.ValueAtPercentile(percent))
}

func microseconds(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

// Result is what a run measured in its window.
type Result struct {
	Window    time.Duration // shorter than planned if the run was interrupted
	Successes int64
	Refused   map[string]int64 // by code
	Failed    map[string]int64 // by what happened
	Unknown   int64            // of the failed: votes that may count
	Unsent    int64            // due inside the window, never sent
	Latency   Latency
	Processor time.Duration // time that the load generator's own process used during the window
}

// Latency holds percentiles of the successes.
type Latency struct {
	P50, P90, P99, P999, Max time.Duration
	Samples                  int64
}

// PerSecond is the throughput of successes.
func (r Result) PerSecond() float64 {
	if r.Window <= 0 {
		return 0
	}
	return float64(r.Successes) / r.Window.Seconds()
}

// Total adds up counts by code.
func Total(counts map[string]int64) int64 {
	var sum int64
	for _, n := range counts {
		sum += n
	}
	return sum
}
