package testenv

import (
	"testing"
	"time"
)

// eventuallyPoll is the pause between two tries.
const eventuallyPoll = 10 * time.Millisecond

// Eventually tries check until it returns nil, and fails the test with its last error after timeout. For what has no
// event to wait for.
func Eventually(t testing.TB, timeout time.Duration, check func() error) {
	t.Helper()
	deadline := time.Now().Add(timeout)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still so after %v: %v", timeout, err)
		}
		<-time.After(eventuallyPoll)
	}
}
