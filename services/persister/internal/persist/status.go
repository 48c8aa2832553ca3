package persist

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/littlevote/littlevote/libs/pgledger"
)

const (
	// incidentAfter is how many failures in a row make an incident.
	incidentAfter = 3
	firstPause    = 50 * time.Millisecond
	longestPause  = 5 * time.Second
	// epochPause is how long to wait for an epoch that is being changed, or for the first one.
	epochPause = 100 * time.Millisecond
)

// status is what stands between this persister and its work.
type status struct {
	mu        sync.Mutex
	started   bool
	incidents map[string]error // by activity
	halted    map[int32]error
}

func newStatus() *status {
	return &status{incidents: map[string]error{}, halted: map[int32]error{}}
}

// ready says whether the work goes on, and why not.
func (s *status) ready(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	if !s.started {
		errs = append(errs, errors.New("not in its consumer group yet"))
	}
	for _, what := range slices.Sorted(maps.Keys(s.incidents)) {
		errs = append(errs, fmt.Errorf("%s: %w", what, s.incidents[what]))
	}
	for _, id := range slices.Sorted(maps.Keys(s.halted)) {
		errs = append(errs, fmt.Errorf("partition %d is halted: %w", id, s.halted[id]))
	}
	return errors.Join(errs...)
}

func (s *status) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started = true
}

func (s *status) incident(what string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		delete(s.incidents, what)
	} else {
		s.incidents[what] = err
	}
}

// halt remembers that a partition is halted, or with a nil error that it is this process's concern no more.
func (s *status) halt(id int32, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		delete(s.halted, id)
	} else {
		s.halted[id] = err
	}
}

func (s *status) haltedCount() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(len(s.halted))
}

// effort is one activity that is tried again until it succeeds.
type effort struct {
	*Persister
	what  string
	fails int
	waits bool // for an epoch, and said so
}

// failed reports a failure and waits before the next try; false means that ctx ended.
func (e *effort) failed(ctx context.Context, err error) bool {
	pause := epochPause
	switch {
	case !waitsForEpoch(err):
		e.fails++
		e.metrics.retries.Add(ctx, 1, metric.WithAttributes(attribute.String("what", e.what)))
		pause = min(firstPause<<min(e.fails-1, 10), longestPause)
		e.report(ctx, err)
	case !e.waits:
		e.waits = true
		e.log.InfoContext(ctx, "waiting for an open epoch", "what", e.what, "state", err)
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (e *effort) report(ctx context.Context, err error) {
	switch {
	case e.fails < incidentAfter:
		e.log.WarnContext(ctx, "will be tried again", "what", e.what, "error", err)
	case e.fails == incidentAfter:
		e.log.ErrorContext(ctx, "incident", "what", e.what, "error", err, "failures", e.fails)
	}
	if e.fails >= incidentAfter {
		e.status.incident(e.what, err)
	}
}

func (e *effort) succeeded(ctx context.Context) {
	if e.fails >= incidentAfter {
		e.log.InfoContext(ctx, "incident is over", "what", e.what, "failures", e.fails)
		e.status.incident(e.what, nil)
	}
	e.fails, e.waits = 0, false
}

// waitsForEpoch is no failure: the epoch will be there in a moment, or with the first vote-service.
func waitsForEpoch(err error) bool {
	return errors.Is(err, pgledger.ErrSealed) || errors.Is(err, pgledger.ErrNoEpoch)
}

// retry tries until f succeeds or returns an error that final knows, or ctx ends.
func (p *Persister) retry(ctx context.Context, what string, final func(error) bool, f func(ctx context.Context) error) error {
	e := effort{Persister: p, what: what}
	for {
		err := f(ctx)
		if err == nil || final(err) {
			e.succeeded(ctx)
			return err
		}
		if ctx.Err() != nil || !e.failed(ctx, err) {
			p.status.incident(what, nil)
			return ctx.Err()
		}
	}
}
