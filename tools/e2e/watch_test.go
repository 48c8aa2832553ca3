package e2e

import (
	"sync"
	"testing"
	"time"

	"github.com/littlevote/littlevote/tools/internal/checker"
	"github.com/littlevote/littlevote/tools/internal/voter"
)

// watcher reads all counts of ballot main again and again.
type watcher struct {
	stopped chan struct{}
	done    chan struct{}
	once    sync.Once
}

// watch holds each read against what had been acknowledged before it was sent, while every vote is for one candidate. A read
// may fail, but it is never older, whether or not it says that it may be stale.
func watch(t *testing.T, gateway *voter.Client, history *checker.History) *watcher {
	w := &watcher{stopped: make(chan struct{}), done: make(chan struct{})}
	go w.read(t, gateway, history)
	t.Cleanup(w.stop)
	return w
}

func (w *watcher) stop() {
	w.once.Do(func() { close(w.stopped) })
	<-w.done
}

func (w *watcher) read(t *testing.T, gateway *voter.Client, history *checker.History) {
	defer close(w.done)
	reads, stale, failed := 0, 0, 0
	for {
		select {
		case <-w.stopped:
			t.Logf("%d reads: %d said that they may be stale, %d failed", reads, stale, failed)
			return
		case <-time.After(5 * time.Millisecond):
		}
		acknowledged := int64(history.Number(checker.Counted))
		counts, err := gateway.GetAllUserVotes(t.Context(), "main")
		reads++
		if err != nil {
			failed++
			continue
		}
		sum, mayBeStale := int64(0), false
		for _, c := range counts {
			sum += c.Votes
			mayBeStale = mayBeStale || c.Stale
		}
		if mayBeStale {
			stale++
		}
		if sum < acknowledged {
			t.Errorf("a read shows %d votes after %d were acknowledged; may be stale: %v", sum, acknowledged, mayBeStale)
			return
		}
	}
}
