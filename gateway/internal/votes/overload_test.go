package votes

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// slow decides 20 votes in 20 ms, so two calls at once decide 2,000 a second.
func slow(_ context.Context, _ int64, votes []*votev1.Vote) ([]*votev1.Verdict, error) {
	time.Sleep(20 * time.Millisecond)
	return all(votes, counts), nil
}

const capacity = 2000

// outcome is what became of votes that came at a constant rate.
type outcome struct {
	served, refused               int64
	slowestServed, slowestRefused time.Duration
}

// open sends votes at a rate, whatever becomes of them.
func open(t *testing.T, v *Voter, rate int, length time.Duration) outcome {
	t.Helper()
	var o outcome
	var mu sync.Mutex
	var wait sync.WaitGroup
	const step = 5 * time.Millisecond
	for range length / step {
		for range rate * int(step) / int(time.Second) {
			wait.Go(func() {
				began := time.Now()
				verdict := v.Cast(context.Background(), held())
				took := time.Since(began)
				mu.Lock()
				defer mu.Unlock()
				switch verdict.GetCode() {
				case statusv1.Code_CODE_OK:
					o.served++
					o.slowestServed = max(o.slowestServed, took)
				case statusv1.Code_CODE_OVERLOADED:
					o.refused++
					o.slowestRefused = max(o.slowestRefused, took)
					if !verdict.GetRetryable() || verdict.GetRetryAfter().AsDuration() <= 0 || verdict.GetOutcome() != statusv1.Outcome_OUTCOME_NONE {
						t.Errorf("%v", verdict)
					}
				default:
					t.Errorf("%v", verdict)
				}
			})
		}
		time.Sleep(step)
	}
	wait.Wait()
	return o
}

// G12, F22: at five times the load goodput is the peak's, the rest is refused at once, and afterwards all is as before.
func TestFiveTimesTheLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, seen := newVoter(t, config(), &client{answer: slow})
		defer v.Close(t.Context())
		if o := open(t, v, capacity*8/10, 2*time.Second); o.refused > 0 || o.slowestServed > 100*time.Millisecond {
			t.Errorf("below the capacity: %+v", o)
		}
		const seconds = 4
		o := open(t, v, 5*capacity, seconds*time.Second)
		if least := int64(capacity * seconds * 8 / 10); o.served < least {
			t.Errorf("served %d, want %d at least", o.served, least)
		}
		// What waits when the speed is not known yet waits longest.
		if o.refused == 0 || o.slowestServed > 1500*time.Millisecond || o.slowestRefused > 0 {
			t.Errorf("%+v", o)
		}
		if got := seen.refused.Load(); got != o.refused {
			t.Errorf("%d refusals are told, %d were made", got, o.refused)
		}
		if o := open(t, v, capacity*8/10, 2*time.Second); o.refused > 0 || o.slowestServed > 200*time.Millisecond {
			t.Errorf("afterwards: %+v", o)
		}
	})
}

// A call that takes longer than it may keep the next one waiting is no way around the bound: what is on its way counts.
func TestOverloadOfASlowService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turn := make(chan struct{}, 1) // one call at a time: 20 votes in 100 ms
		v, _ := newVoter(t, Config{
			InFlight: 2, MaxBatch: 20, MaxQueue: 20_000, MaxWait: time.Second, Timeout: 5 * time.Second, Patience: 10 * time.Millisecond, Retries: 1,
		}, &client{answer: func(_ context.Context, _ int64, votes []*votev1.Vote) ([]*votev1.Verdict, error) {
			turn <- struct{}{}
			defer func() { <-turn }()
			time.Sleep(100 * time.Millisecond)
			return all(votes, counts), nil
		}})
		defer v.Close(t.Context())
		o := open(t, v, 1000, 4*time.Second)
		if o.served < 200*4*8/10 || o.slowestServed > 2*time.Second || o.slowestRefused > 0 {
			t.Errorf("%+v", o)
		}
	})
}

// S32: a thousand clients that each wait for their answer are never refused, even where each waits for seconds.
func TestClosedLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.MaxBatch = 500 // two calls hold as many votes as there are clients, as by default they hold 2,000
		v, _ := newVoter(t, cfg, &client{answer: func(_ context.Context, _ int64, votes []*votev1.Vote) ([]*votev1.Verdict, error) {
			time.Sleep(400 * time.Millisecond)
			return all(votes, counts), nil
		}})
		defer v.Close(t.Context())
		var wait sync.WaitGroup
		for range 1000 {
			wait.Go(func() {
				for range 20 {
					if verdict := v.Cast(t.Context(), held()); verdict.GetCode() != statusv1.Code_CODE_OK {
						t.Errorf("%v", verdict)
					}
				}
			})
		}
		wait.Wait()
	})
}

// F12: while the vote-service hangs, what was sent is unknown, what was not is refused, and the queue stays short.
func TestAVoteServiceThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hangs atomic.Bool
		cfg := config()
		v, _ := newVoter(t, cfg, &client{answer: func(ctx context.Context, call int64, votes []*votev1.Vote) ([]*votev1.Verdict, error) {
			if hangs.Load() {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return slow(ctx, call, votes)
		}})
		defer v.Close(t.Context())
		hangs.Store(true)
		var mu sync.Mutex
		codes := map[statusv1.Code]int{}
		longest := 0
		var wait sync.WaitGroup
		for range 5000 {
			wait.Go(func() {
				verdict := v.Cast(t.Context(), held())
				mu.Lock()
				defer mu.Unlock()
				codes[verdict.GetCode()]++
			})
			time.Sleep(time.Millisecond)
			longest = max(longest, v.Waiting())
		}
		hangs.Store(false)
		wait.Wait()
		if codes[statusv1.Code_CODE_OUTCOME_UNKNOWN] == 0 || codes[statusv1.Code_CODE_OVERLOADED] == 0 || longest > 500 {
			t.Errorf("%v, at most %d waited", codes, longest)
		}
		time.Sleep(2 * time.Second)
		if o := open(t, v, capacity/2, time.Second); o.refused > 0 {
			t.Errorf("afterwards: %+v", o)
		}
	})
}

// One vote-service of two hangs: the votes that meet the other are decided at its speed.
func TestOneOfTwoHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, _ := newVoter(t, config(), &client{answer: func(ctx context.Context, call int64, votes []*votev1.Vote) ([]*votev1.Verdict, error) {
			if call%2 == 0 {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return slow(ctx, call, votes)
		}})
		defer v.Close(t.Context())
		var served, unknown, waited atomic.Int64
		var wait sync.WaitGroup
		for range 100 {
			wait.Go(func() {
				began := time.Now()
				switch v.Cast(t.Context(), held()).GetCode() {
				case statusv1.Code_CODE_OK:
					served.Add(1)
					waited.Store(max(waited.Load(), int64(time.Since(began))))
				case statusv1.Code_CODE_OUTCOME_UNKNOWN:
					unknown.Add(1)
				}
			})
			time.Sleep(50 * time.Millisecond)
		}
		wait.Wait()
		if served.Load()+unknown.Load() != 100 || served.Load() < 30 || time.Duration(waited.Load()) > 2*time.Second {
			t.Errorf("%d served, after %v at most, %d unknown", served.Load(), time.Duration(waited.Load()), unknown.Load())
		}
	})
}
