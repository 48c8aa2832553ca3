package e2e

import (
	"errors"
	"testing"
	"time"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/tools/e2e/internal/checker"
	"github.com/littlevote/littlevote/tools/e2e/internal/system"
	"github.com/littlevote/littlevote/tools/e2e/internal/voter"
)

// TestF7RedisEmptied empties Redis in the middle of load. Nobody may ever be shown a count without a vote that was
// acknowledged before, unless it says that it may be stale, and voting must go on in the next epoch.
func TestF7RedisEmptied(t *testing.T) {
	const voters, progress = 12, 100
	const patience = 5*time.Second + slack
	redis := system.OwnRedis(t)
	s := system.Start(t, system.Config{Replicas: 2, Redis: redis, Flags: map[system.Kind][]string{
		system.Ticket: {"--ticket-cap=none", "--ticket-interval=1s"},
	}})
	before, err := pgledger.CurrentEpoch(t.Context(), s.Pool)
	if err != nil {
		t.Fatal(err)
	}
	history := &checker.History{}
	c := gather(t, s.Gateways, history, voters, alternating(true))
	reader := watch(t, s.Gateways[0], history)
	c.awaitMore(t, progress)
	testenv.Eventually(t, progressTimeout, func() error { // else Postgres may still show 0 when it is asked instead
		if rows(t, s) == 0 {
			return errors.New("Postgres has no vote yet")
		}
		return nil
	})
	if err := system.Flush(redis); err != nil {
		t.Fatal(err)
	}
	emptied := time.Now()
	acknowledged := history.Number(checker.Counted)
	c.awaitMore(t, progress)
	took := time.Since(emptied).Round(time.Millisecond)
	t.Logf("%d votes were acknowledged when Redis was emptied; %d more %v later", acknowledged, progress, took)
	if took > patience {
		t.Errorf("voting went on only after %v", took)
	}
	c.stop()
	reader.stop()
	resolve(t, s.Gateways[1], history)
	s.Verify(t, s.Gateways[0], history)
	after, err := pgledger.CurrentEpoch(t.Context(), s.Pool)
	if err != nil || after.Number != before.Number+1 || after.NS == before.NS {
		t.Errorf("epoch %+v, %v, after %+v", after, err, before)
	}
}

// watcher reads all counts again and again.
type watcher struct {
	stopped chan struct{}
	done    chan struct{}
}

// watch holds each read against what had been acknowledged before it was sent.
func watch(t *testing.T, gateway *voter.Client, history *checker.History) *watcher {
	w := &watcher{stopped: make(chan struct{}), done: make(chan struct{})}
	go func() {
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
			if sum < acknowledged && !mayBeStale || sum == 0 && acknowledged > 0 {
				t.Errorf("a read shows %d votes after %d were acknowledged; may be stale: %v", sum, acknowledged, mayBeStale)
				return
			}
		}
	}()
	t.Cleanup(func() { <-w.done })
	return w
}

func (w *watcher) stop() {
	close(w.stopped)
	<-w.done
}
