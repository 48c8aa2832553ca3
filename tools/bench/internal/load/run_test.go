package load

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/littlevote/littlevote/tools/bench/internal/operation"
)

var success = operation.Answer{Kind: operation.Success, Code: "OK"}

// server is a client whose answers take as long as it is told. Times are those of the test's bubble.
type server struct {
	answer func(number int) (time.Duration, operation.Answer)
	ready  func(ctx context.Context) error
	sent   int
}

func (s *server) Ready(ctx context.Context) error {
	if s.ready != nil {
		return s.ready(ctx)
	}
	return nil
}

func (s *server) Do(context.Context) operation.Answer {
	took, answer := s.answer(s.sent)
	s.sent++
	time.Sleep(took)
	return answer
}

func (s *server) Close() {}

func constant(took time.Duration, answer operation.Answer) func(int) (time.Duration, operation.Answer) {
	return func(int) (time.Duration, operation.Answer) { return took, answer }
}

func near(t *testing.T, what string, got, want, tolerance time.Duration) {
	t.Helper()
	if got < want-tolerance || got > want+tolerance {
		t.Errorf("%s is %v, want %v give or take %v", what, got, want, tolerance)
	}
}

func TestClosedLoopSendsWhenAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clients := []Client{
			&server{answer: constant(10*time.Millisecond, success)},
			&server{answer: constant(10*time.Millisecond, success)},
		}
		got := Run(t.Context(), Plan{WarmUp: time.Second, Duration: 2 * time.Second}, clients, 0, nil)
		if got.Successes != 400 || got.PerSecond() != 200 || got.Window != 2*time.Second {
			t.Errorf("%d successes, %v a second in %v; want 400, 200 in 2s", got.Successes, got.PerSecond(), got.Window)
		}
		near(t, "p50", got.Latency.P50, 10*time.Millisecond, 10*time.Microsecond)
		near(t, "max", got.Latency.Max, 10*time.Millisecond, 10*time.Microsecond)
	})
}

// A stall of one second in a run of ten concerns a tenth of an open loop's requests. A generator that measures from the
// moment of sending would see it in one request, and call the 99th percentile a millisecond.
func TestOpenLoopCountsFromWhenTheRequestWasDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &server{answer: func(number int) (time.Duration, operation.Answer) {
			if number == 500 {
				return time.Second, success
			}
			return time.Millisecond, success
		}}
		got := Run(t.Context(), Plan{Rate: 100, Duration: 10 * time.Second}, []Client{client}, 0, nil)
		if got.Successes != 1000 || got.Unsent != 0 {
			t.Errorf("%d successes, %d unsent; want 1000, 0", got.Successes, got.Unsent)
		}
		near(t, "p50", got.Latency.P50, time.Millisecond, 10*time.Microsecond)
		// Request 500+k goes out at 5 s + 1 s + k ms instead of 5 s + 10 k ms.
		near(t, "p99", got.Latency.P99, 910*time.Millisecond, 20*time.Millisecond)
		near(t, "max", got.Latency.Max, time.Second, 5*time.Millisecond)
	})
}

func TestOpenLoopKeepsItsRateOverManyConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var clients []Client
		for range 50 {
			clients = append(clients, &server{answer: constant(30*time.Millisecond, success)})
		}
		got := Run(t.Context(), Plan{Rate: 1000, WarmUp: time.Second, Duration: 3 * time.Second}, clients, 0, nil)
		if got.Latency.Samples != 3000 || got.Unsent != 0 {
			t.Errorf("%d samples, %d unsent; want 3000, 0", got.Latency.Samples, got.Unsent)
		}
		near(t, "max", got.Latency.Max, 30*time.Millisecond, 50*time.Microsecond)
	})
}

func TestOpenLoopCountsWhatItCouldNotSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &server{answer: constant(20*time.Millisecond, success)}
		got := Run(t.Context(), Plan{Rate: 100, Duration: 10 * time.Second}, []Client{client}, 0, nil)
		if got.Latency.Samples != 500 || got.Unsent != 500 {
			t.Errorf("%d sent, %d unsent; want 500 of each", got.Latency.Samples, got.Unsent)
		}
		near(t, "max", got.Latency.Max, 5*time.Second, 50*time.Millisecond)
	})
}

func TestScheduleDoesNotDrift(t *testing.T) {
	start := time.Unix(0, 0)
	near(t, "the due time after an hour", newSchedule(start, 7).due(7*3600).Sub(start), time.Hour, time.Microsecond)
}

// Sleeps that end early, as interrupted ones do, send nothing early.
func TestShortSleepsAreRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plan := Plan{Rate: 500, Duration: time.Second, Sleep: func(d time.Duration) { time.Sleep(max(d/2, 1)) }}
		got := Run(t.Context(), plan, []Client{&server{answer: constant(time.Millisecond, success)}}, 0, nil)
		if got.Latency.Samples != 500 {
			t.Errorf("%d samples, want 500", got.Latency.Samples)
		}
		near(t, "p50", got.Latency.P50, time.Millisecond, 10*time.Microsecond)
	})
}

func TestOnlySuccessesAreMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := []operation.Answer{
			success,
			{Kind: operation.Refused, Code: "TICKET_EXPIRED"},
			{Kind: operation.Failed, Code: "timeout", Unknown: true},
			{Kind: operation.Failed, Code: "HTTP 400"},
		}
		client := &server{answer: func(number int) (time.Duration, operation.Answer) {
			answer := answers[number%4]
			if answer.Kind != operation.Success {
				return 50 * time.Millisecond, answer
			}
			return 100 * time.Millisecond, answer
		}}
		// A round takes 250 ms: 4 rounds of warm-up, 40 in the window.
		got := Run(t.Context(), Plan{WarmUp: time.Second, Duration: 10 * time.Second}, []Client{client}, 0, nil)
		want := Result{
			Window: 10 * time.Second, Successes: 40, Unknown: 40,
			Refused: map[string]int64{"TICKET_EXPIRED": 40}, Failed: map[string]int64{"timeout": 40, "HTTP 400": 40},
		}
		near(t, "p50", got.Latency.P50, 100*time.Millisecond, 100*time.Microsecond)
		got.Latency, got.Processor = Latency{}, 0
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("result (-want +got):\n%s", diff)
		}
	})
}

func TestWaitingForReadyIsNoLatencyOfAClosedLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &server{
			answer: constant(10*time.Millisecond, success),
			ready:  func(context.Context) error { time.Sleep(90 * time.Millisecond); return nil },
		}
		got := Run(t.Context(), Plan{Duration: 10 * time.Second}, []Client{client}, 0, nil)
		near(t, "max", got.Latency.Max, 10*time.Millisecond, 10*time.Microsecond)
		if got.Successes != 100 {
			t.Errorf("%d successes, want 100", got.Successes)
		}
	})
}

func TestInterruptionEndsTheWindow(t *testing.T) {
	for _, rate := range []float64{0, 100} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(4*time.Second+time.Millisecond, cancel)
			client := &server{answer: constant(5*time.Millisecond, success)}
			got := Run(ctx, Plan{Rate: rate, WarmUp: time.Second, Duration: time.Hour}, []Client{client}, 0, nil)
			near(t, "window", got.Window, 3*time.Second, 10*time.Millisecond)
			if got.Unsent != 0 {
				t.Errorf("rate %v: %d unsent, want 0", rate, got.Unsent)
			}
			perSecond := map[float64]float64{0: 200, 100: 100}[rate]
			if got.PerSecond() < perSecond*0.98 || got.PerSecond() > perSecond*1.02 {
				t.Errorf("rate %v: %v a second, want about %v", rate, got.PerSecond(), perSecond)
			}
		})
	}
}

func TestADeadServerIsNotHammered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &server{ready: func(context.Context) error { return errors.New("refused") }}
		got := Run(t.Context(), Plan{Duration: 9950 * time.Millisecond}, []Client{client}, 0, nil)
		if diff := cmp.Diff(map[string]int64{"no connection": 100}, got.Failed); diff != "" {
			t.Errorf("failed (-want +got):\n%s", diff)
		}
	})
}

func TestProgressIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &server{answer: constant(100*time.Millisecond, success)}
		var seen []int64
		Run(t.Context(), Plan{Duration: 3500 * time.Millisecond}, []Client{client}, time.Second, func(p Progress) {
			time.Sleep(time.Microsecond) // past the answer of the same moment
			seen = append(seen, p.Elapsed.Milliseconds())
		})
		if diff := cmp.Diff([]int64{1000, 2000, 3000}, seen); diff != "" {
			t.Errorf("progress at (-want +got):\n%s", diff)
		}
	})
}
