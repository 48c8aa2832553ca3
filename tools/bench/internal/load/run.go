package load

import (
	"context"
	"sync"
	"syscall"
	"time"

	"github.com/littlevote/littlevote/tools/bench/internal/operation"
)

// pause is how long a connection that can't be opened waits before the next attempt.
const pause = 100 * time.Millisecond

// Run sends by all clients at once until the plan's end or until ctx ends, waits for what is in flight and closes the
// clients. watch, if not nil, is called now and then from a goroutine of its own.
func Run(ctx context.Context, plan Plan, clients []Client, watchEvery time.Duration, watch func(Progress)) Result {
	start := time.Now()
	r := newRecorder(start, plan)
	running, cancel := context.WithDeadline(ctx, r.windowEnd)
	defer cancel()

	var watching sync.WaitGroup
	if watch != nil {
		watching.Go(func() { every(running, watchEvery, func() { watch(r.soFar()) }) })
	}
	var used time.Duration
	watching.Go(func() { used = processorDuring(running, r.windowStart) })

	var schedule *schedule
	if plan.Rate > 0 {
		schedule = newSchedule(start, r.windowEnd, plan.Rate)
	}
	var working sync.WaitGroup
	for _, client := range clients {
		working.Go(func() {
			defer client.Close()
			if schedule != nil {
				openLoop(running, schedule, client, r)
			} else {
				closedLoop(running, client, r)
			}
		})
	}
	working.Wait()
	stopped := time.Now()
	cancel()
	watching.Wait()
	return r.result(stopped, used)
}

func closedLoop(ctx context.Context, client Client, r *recorder) {
	for ctx.Err() == nil {
		if !ready(ctx, time.Time{}, client, r) {
			continue
		}
		begin := time.Now()
		answer := client.Do(ctx)
		r.record(begin, time.Now(), answer)
	}
}

func openLoop(ctx context.Context, schedule *schedule, client Client, r *recorder) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		due, more := schedule.claim()
		if !more {
			return
		}
		inTime := until(ctx, timer, due)
		switch now := time.Now(); {
		case inTime && now.Before(schedule.end):
		case now.Before(due): // interrupted
			return
		default: // due inside the run, and its end is here
			r.skip(due)
			continue
		}
		if !ready(ctx, due, client, r) {
			continue
		}
		answer := client.Do(ctx)
		r.record(due, time.Now(), answer)
	}
}

// until waits for a moment; false if ctx ended, even if the moment is past.
func until(ctx context.Context, timer *time.Timer, due time.Time) bool {
	if wait := time.Until(due); wait > 0 {
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			return false
		}
	}
	return ctx.Err() == nil
}

// ready waits until the client can send. A request for which that fails is lost: it was due at a moment (zero: now),
// and counts as a failure, or as unsent if the run ended meanwhile.
func ready(ctx context.Context, due time.Time, client Client, r *recorder) bool {
	err := client.Ready(ctx)
	switch {
	case err == nil:
		return true
	case ctx.Err() == nil:
		now := time.Now()
		if due.IsZero() {
			due = now
		}
		r.record(due, now, operation.Answer{Kind: operation.Failed, Code: "no connection"})
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	case !due.IsZero():
		r.skip(due)
	}
	return false
}

func every(ctx context.Context, interval time.Duration, f func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			f()
		case <-ctx.Done():
			return
		}
	}
}

// processorDuring measures the processor time of this process from a moment until ctx ends.
func processorDuring(ctx context.Context, from time.Time) time.Duration {
	select {
	case <-time.After(time.Until(from)):
	case <-ctx.Done():
		return 0
	}
	before := processor()
	<-ctx.Done()
	return processor() - before
}

func processor() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
