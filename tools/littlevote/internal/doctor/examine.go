package doctor

import (
	"context"
	"sync"
	"time"
)

// patience bounds the examination of one area: whoever has not answered by then does not answer.
const patience = 15 * time.Second

// Examine looks at everything that the settings name. The clock is this machine's.
func Examine(ctx context.Context, s *settings, clock func() time.Time) []Finding {
	all := areas()
	found := make([][]Finding, len(all))
	var looking sync.WaitGroup
	for i, examine := range all {
		looking.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			found[i] = examine(ctx, s, clock)
		})
	}
	looking.Wait()
	var together []Finding
	for _, some := range found {
		together = append(together, some...)
	}
	return together
}
