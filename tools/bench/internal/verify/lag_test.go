package verify

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/littlevote/littlevote/tools/bench/internal/operation"
)

func TestLagIsTheAgeOfTheOldestMissingVote(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	var lag Lag
	step := func(ms int, persisted int64, want time.Duration) {
		t.Helper()
		lag.Persist(at(ms), persisted)
		if lag.newest != want {
			t.Errorf("after %d ms, %d persisted: lag %v, want %v", ms, persisted, lag.newest, want)
		}
	}
	step(0, 0, 0) // nothing acknowledged yet
	for i := range 11 {
		lag.Acknowledge(at(i*100), int64(i*10)) // 10 votes every 100 ms
	}
	step(1000, 40, 600*time.Millisecond) // all up to 400 ms
	step(1000, 45, 600*time.Millisecond) // part of the next mark
	step(1100, 99, 200*time.Millisecond) // one of the last ten is missing
	step(1100, 100, 0)                   // all
	step(5000, 120, 0)                   // more than acknowledged: answers on their way
	if lag.Highest() != 600*time.Millisecond {
		t.Errorf("highest %v, want 600ms", lag.Highest())
	}
}

// A persister that stands still for 3 s and then has everything.
func TestWatchSeesAStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		account := NewAccount(1)
		go func() {
			for sleep(ctx, 10*time.Millisecond) == nil {
				account.Add(0, operation.Answer{Kind: operation.Success})
			}
		}()
		start := time.Now()
		highest, err := Watch(ctx, account, func(context.Context) (int64, error) {
			if since := time.Since(start); since > 4*time.Second && since < 7*time.Second {
				return 400, nil
			}
			return account.Acknowledged(), nil
		})
		// Seen last at 6.5 s, when the vote of 4.01 s is missing; a mark's distance more at most.
		if err != nil || highest < 2490*time.Millisecond || highest > 2550*time.Millisecond {
			t.Errorf("highest lag %v, error %v; want about 2.5s", highest, err)
		}
	})
}
