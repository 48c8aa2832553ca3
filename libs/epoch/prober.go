package epoch

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// Pinger asks Redis for a sign of life, on a connection that votes do not use, with a timeout of its own.
type Pinger interface {
	Ping(ctx context.Context) error
}

const (
	probeEvery = 200 * time.Millisecond
	// awayAfter is how long Redis must not have answered to be called away.
	awayAfter = time.Second
	// late is by how much this process may oversleep before what it missed meanwhile says more about itself.
	late = 100 * time.Millisecond
)

// prober watches whether Redis answers.
type prober struct {
	redis   Pinger
	flipped func()                // called when the verdict changes
	fault   atomic.Pointer[error] // why it is away; nil: it is not
	well    atomic.Bool           // the last ping was answered
}

// run probes until ctx ends. A process that was itself stalled, or is starved of processor time, draws no conclusion from
// an answer that it did not get in time; a connection that is refused is another matter.
func (p *prober) run(ctx context.Context) {
	var silentSince time.Time // before the first ping that was not answered was sent
	stalled := false
	for {
		sent := time.Now()
		err := p.redis.Ping(ctx)
		if ctx.Err() != nil {
			return
		}
		p.well.Store(err == nil)
		switch {
		case err == nil:
			silentSince = time.Time{}
			p.set(nil)
		case stalled && isTimeout(err):
			silentSince = time.Time{}
		case silentSince.IsZero():
			silentSince = sent
		case time.Since(silentSince) >= awayAfter:
			p.set(&err)
		}
		slept := time.Now()
		if pause(ctx, probeEvery) != nil {
			return
		}
		stalled = time.Since(slept) > probeEvery+late
	}
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}

func (p *prober) set(fault *error) {
	if before := p.fault.Swap(fault); (before == nil) != (fault == nil) {
		p.flipped()
	}
}
