package scope

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
)

// Run is a scope that is no test.
type Run struct {
	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex
	log      io.Writer
	problems []string
	cleanups []func()
}

// Start runs f in a scope of its own, and returns when everything of it has ended: what was wrong, in the order in which it
// was said. The log gets every line.
func Start(ctx context.Context, log io.Writer, f func(*Run)) []string {
	r := &Run{log: log}
	r.ctx, r.cancel = context.WithCancel(ctx)
	r.guard(func() { f(r) })
	r.cancel()
	for {
		end := r.lastCleanup()
		if end == nil {
			break
		}
		r.guard(end)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.problems)
}

// guard runs f in a goroutine that Fatal may end.
func (r *Run) guard(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if cause := recover(); cause != nil {
				r.Errorf("panic: %v\n%s", cause, debug.Stack())
			}
		}()
		f()
	}()
	<-done
}

func (r *Run) lastCleanup() func() {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.cleanups)
	if n == 0 {
		return nil
	}
	end := r.cleanups[n-1]
	r.cleanups = r.cleanups[:n-1]
	return end
}

// Context implements Scope.
func (r *Run) Context() context.Context { return r.ctx }

// Cleanup implements Scope.
func (r *Run) Cleanup(end func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, end)
}

// Helper implements Scope.
func (r *Run) Helper() {}

// Logf implements Scope.
func (r *Run) Logf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = fmt.Fprintf(r.log, format+"\n", args...) // nothing depends on the log
}

// Errorf implements Scope.
func (r *Run) Errorf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.Logf("WRONG %s", text)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problems = append(r.problems, text)
}

// Fatal implements Scope.
func (r *Run) Fatal(args ...any) {
	r.Errorf("%s", fmt.Sprint(args...))
	runtime.Goexit()
}

// Fatalf implements Scope.
func (r *Run) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// Failed implements Scope.
func (r *Run) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.problems) > 0
}
