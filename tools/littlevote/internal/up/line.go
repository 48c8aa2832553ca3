package up

import (
	"context"
	"errors"
	"sync"

	"github.com/littlevote/littlevote/libs/service"
)

// line runs services in stages and stops them one stage after the other, in the order in which they were started.
type line struct {
	failed context.Context // ends when the parent does, or a service ends
	fail   context.CancelFunc
	stages []*stage
}

type stage struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
	mu     sync.Mutex
	errs   []error
}

func newLine(ctx context.Context) *line {
	failed, fail := context.WithCancel(ctx)
	return &line{failed: failed, fail: fail}
}

// start runs services as the next stage.
func (l *line) start(runners ...service.Runner) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(l.failed))
	s := &stage{cancel: cancel}
	l.stages = append(l.stages, s)
	for _, r := range runners {
		s.wg.Go(func() {
			err := r.Run(ctx)
			s.mu.Lock()
			s.errs = append(s.errs, err)
			s.mu.Unlock()
			l.fail()
		})
	}
}

// stop ends one stage after the other and returns what went wrong.
func (l *line) stop() error {
	var errs []error
	for _, s := range l.stages {
		s.cancel()
		s.wg.Wait()
		errs = append(errs, s.errs...)
	}
	l.fail()
	return errors.Join(errs...)
}
