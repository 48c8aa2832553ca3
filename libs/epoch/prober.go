package epoch

import (
	"context"
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
)

// prober watches whether Redis answers.
type prober struct {
	redis   Pinger
	flipped func() // called when the verdict changes
	away    atomic.Bool
	well    atomic.Bool // the last ping was answered
}

// run probes until ctx ends. A process that was itself stalled draws no conclusion from what it missed meanwhile.
func (p *prober) run(ctx context.Context) {
	var silentSince, looked time.Time // silentSince: before the first ping that was not answered was sent
	for {
		now := time.Now()
		if !looked.IsZero() && now.Sub(looked) > 2*awayAfter {
			silentSince = time.Time{}
		}
		looked = now
		err := p.redis.Ping(ctx)
		if ctx.Err() != nil {
			return
		}
		p.well.Store(err == nil)
		switch {
		case err == nil:
			silentSince = time.Time{}
			p.set(false)
		case silentSince.IsZero():
			silentSince = now
		case time.Since(silentSince) >= awayAfter:
			p.set(true)
		}
		if pause(ctx, probeEvery) != nil {
			return
		}
	}
}

func (p *prober) set(away bool) {
	if p.away.Swap(away) != away {
		p.flipped()
	}
}
