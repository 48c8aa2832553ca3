package epoch

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// pinger answers as the test says.
type pinger struct{ ping func() error }

func (p pinger) Ping(context.Context) error { return p.ping() }

func TestProber(t *testing.T) {
	for name, c := range map[string]struct {
		ping func() error
		away bool
	}{
		"answers":            {func() error { return nil }, false},
		"refuses":            {func() error { return syscall.ECONNREFUSED }, true},
		"does not answer":    {func() error { time.Sleep(500 * time.Millisecond); return context.DeadlineExceeded }, true},
		"answers now and so": {alternating(), false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := prober{redis: pinger{c.ping}, flipped: func() {}}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() { defer close(done); p.run(ctx) }()
				time.Sleep(5 * time.Second)
				if fault := p.fault.Load(); (fault != nil) != c.away {
					t.Errorf("away: %v, want %v", fault, c.away)
				}
				cancel()
				<-done
			})
		})
	}
}

func alternating() func() error {
	n := 0
	return func() error {
		if n++; n%3 != 0 {
			return errors.New("away")
		}
		return nil
	}
}
