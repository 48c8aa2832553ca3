package scope

import (
	"context"
	"os"
	"time"
)

// Scope owns processes, connections and folders, and ends them. Every testing.TB is one, and so is a Run.
type Scope interface {
	// Context ends when the scope is about to end, before what it owns is.
	Context() context.Context
	// Cleanup adds what is to be done at the end, the last first.
	Cleanup(end func())
	Helper()
	Logf(format string, args ...any)
	// Errorf says that something is wrong, and goes on.
	Errorf(format string, args ...any)
	// Fatal says that something is wrong, and ends the goroutine that the scope runs.
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Failed() bool
}

// poll is the pause between two tries.
const poll = 10 * time.Millisecond

// Eventually tries check until it returns nil, and fails with its last error after timeout. For what has no event to wait
// for.
func Eventually(s Scope, timeout time.Duration, check func() error) {
	s.Helper()
	deadline := time.Now().Add(timeout)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.Fatalf("still so after %v: %v", timeout, err)
		}
		select {
		case <-s.Context().Done():
			s.Fatalf("stopped while so: %v", err)
		case <-time.After(poll):
		}
	}
}

// Dir makes a folder that is removed at the end. Its path is short enough for a socket.
func Dir(s Scope) string {
	s.Helper()
	dir, err := os.MkdirTemp("", "lv")
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			s.Errorf("remove %s: %v", dir, err)
		}
	})
	return dir
}
