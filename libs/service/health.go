package service

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

const (
	// checkTimeout bounds one check; a dependency that takes longer is not there for a voter either.
	checkTimeout = time.Second
	// reportAge is how long a report is given out again, so that nobody can load the dependencies by asking for readiness.
	reportAge = 500 * time.Millisecond
)

// Health knows whether this process is ready, and if not, why.
type Health struct {
	turn chan struct{} // held by whoever makes a report; a channel, so that waiting can end with a context

	mu       sync.Mutex // guards what follows
	checks   []*check
	weak     []string
	degraded []func() string
	draining bool
	last     Report
	lastAt   time.Time
}

// check is one named condition of readiness.
type check struct {
	name string
	f    func(ctx context.Context) error
	busy chan struct{} // full while f runs: a check that hangs is not started twice
}

// Report is the state of a process at one moment, and the JSON of /readyz.
type Report struct {
	Ready    bool              `json:"ready"`
	Draining bool              `json:"draining,omitempty"`
	Checks   map[string]string `json:"checks"`             // "ok", or what is wrong
	Weak     []string          `json:"weak,omitempty"`     // promises that this set-up cannot keep
	Degraded []string          `json:"degraded,omitempty"` // what does not go as usual now
	Version  string            `json:"version,omitempty"`  // of the program; on the admin port only
}

// NewHealth is ready and has no checks.
func NewHealth() *Health { return &Health{turn: make(chan struct{}, 1)} }

// Check adds a condition of readiness. While f returns an error the process is not ready; f should honour its context, which ends
// after a second. Register only what this process alone cannot live without: a process that is not ready gets no calls, so it
// cannot say what is wrong.
func (h *Health) Check(name string, f func(ctx context.Context) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks = append(h.checks, &check{name: name, f: f, busy: make(chan struct{}, 1)})
	h.lastAt = time.Time{}
}

// Weak adds a promise that this set-up cannot keep, in words for the operator. It does not touch readiness. Services that run
// in one process may find the same.
func (h *Health) Weak(text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if slices.Contains(h.weak, text) {
		return
	}
	h.weak = append(h.weak, text)
	h.lastAt = time.Time{}
}

// Degraded adds a part that says, in words for the operator, what does not go as usual now; empty if all is well. It does
// not touch readiness.
func (h *Health) Degraded(now func() string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.degraded = append(h.degraded, now)
	h.lastAt = time.Time{}
}

// Drain makes the process not ready for the rest of its life.
func (h *Health) Drain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.draining = true
	h.lastAt = time.Time{}
}

// Report runs all checks at the same time, or returns the last report if it is younger than half a second.
func (h *Health) Report(ctx context.Context) Report {
	select {
	case h.turn <- struct{}{}:
		defer func() { <-h.turn }()
	case <-ctx.Done():
		return Report{Checks: map[string]string{"report": ctx.Err().Error()}}
	}
	h.mu.Lock()
	checks, age, report := h.checks, time.Since(h.lastAt), h.last
	h.mu.Unlock()
	if age < reportAge {
		return report
	}
	// The caller's context does not count here: others get this report too.
	results := runChecks(context.WithoutCancel(ctx), checks)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = h.newReport(results)
	if len(checks) == len(h.checks) {
		h.lastAt = time.Now()
	}
	return h.last
}

// newReport needs mu.
func (h *Health) newReport(results map[string]string) Report {
	report := Report{Ready: !h.draining, Draining: h.draining, Checks: results, Weak: append([]string(nil), h.weak...)}
	for _, result := range results {
		if result != resultOK {
			report.Ready = false
		}
	}
	for _, now := range h.degraded {
		if text := now(); text != "" && !slices.Contains(report.Degraded, text) {
			report.Degraded = append(report.Degraded, text)
		}
	}
	return report
}

const resultOK = "ok"

// runChecks returns for each check "ok" or what is wrong.
func runChecks(ctx context.Context, checks []*check) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	results := make([]string, len(checks))
	var wait sync.WaitGroup
	for i, c := range checks {
		wait.Go(func() { results[i] = c.run(ctx) })
	}
	wait.Wait()
	out := make(map[string]string, len(checks))
	for i, c := range checks {
		out[c.name] = results[i]
	}
	return out
}

// run waits for f or for ctx, whichever is first.
func (c *check) run(ctx context.Context) string {
	select {
	case c.busy <- struct{}{}:
	default:
		return "the last check is still running"
	}
	done := make(chan error, 1)
	go func() {
		err := c.f(ctx)
		<-c.busy // before anybody hears of the end, and asks again
		done <- err
	}()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	switch {
	case err == nil:
		return resultOK
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer within " + checkTimeout.String()
	default:
		return err.Error()
	}
}
