package load

import (
	"context"
	"sync"
	"syscall"
	"time"

	"github.com/littlevote/littlevote/tools/bench/internal/operation"
)

const (
	pause  = 100 * time.Millisecond // of a connection that can't be opened, before the next attempt
	coarse = 2 * time.Millisecond   // what a timer may be late by, with a margin
)

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

	var working sync.WaitGroup
	var slots chan time.Time
	if plan.Rate > 0 {
		slots = make(chan time.Time)
		working.Go(func() { pace(running, newSchedule(start, plan.Rate), plan.Sleep, slots, r) })
	}
	for _, client := range clients {
		working.Go(func() {
			defer client.Close()
			if slots != nil {
				openLoop(running, slots, client, r)
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

// openLoop sends the requests that are due.
func openLoop(ctx context.Context, slots <-chan time.Time, client Client, r *recorder) {
	for due := range slots {
		if !time.Now().Before(r.windowEnd) { // taken in the moment when the run ended
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

// pace hands each request, when it is due, to whichever client is free. While none is, it waits, and those that fall
// due meanwhile go out late. What was due by the end and nobody took is counted.
func pace(ctx context.Context, schedule schedule, sleep func(time.Duration), slots chan<- time.Time, r *recorder) {
	defer close(slots)
	if sleep == nil {
		sleep = time.Sleep
	}
	number := int64(0)
	for taken := true; taken; {
		due := schedule.due(number)
		taken = due.Before(r.windowEnd) && until(ctx, sleep, due) && offer(ctx, slots, due)
		if taken {
			number++
		}
	}
	end := time.Now()
	if end.After(r.windowEnd) {
		end = r.windowEnd
	}
	for ; schedule.due(number).Before(end); number++ {
		r.skip(schedule.due(number))
	}
}

// offer waits for somebody to take a slot; false if ctx ended first.
func offer(ctx context.Context, slots chan<- time.Time, due time.Time) bool {
	select {
	case slots <- due:
		return true
	case <-ctx.Done():
		return false
	}
}

// until waits for a moment; false if ctx ended. The runtime's timers are coarse by a millisecond on an idle machine, so
// they take only what is longer.
func until(ctx context.Context, sleep func(time.Duration), due time.Time) bool {
	if wait := time.Until(due) - coarse; wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return false
		}
	}
	for wait := time.Until(due); wait > 0; wait = time.Until(due) {
		sleep(wait)
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
