package live

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/littlevote/littlevote/gateway/graph/model"
)

// subscriber is one subscription. Its fields are its watch's to guard.
type subscriber struct {
	watch  *watch
	viewer Viewer
	joined time.Time
	span   trace.Span    // of the operation, which ends with its first answer
	news   chan struct{} // holds one: there may be something new

	begun bool  // a snapshot that was read after it came may be sent
	last  int64 // the sequence number of what was sent; 0: nothing yet
	ended error
}

// wake says that there may be something new.
func (s *subscriber) wake() {
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// run sends updates until ctx ends, and then returns nil, or until the watch ends them, and returns why.
func (s *subscriber) run(ctx context.Context, out chan<- *model.TallyUpdate) error {
	var next *model.TallyUpdate
	for {
		offer := out
		if next == nil {
			offer = nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.news:
			var err error
			if next, err = s.watch.newest(s); err != nil {
				return err
			}
		case offer <- next:
			s.watch.sent(s, next.Number)
			next = nil
			if !pause(ctx, s.watch.cfg.Interval) {
				return nil
			}
		}
	}
}

// pause waits; false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
