package likes

import (
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/testenv"
	blogv1 "github.com/littlevote/littlevote/proto/gen/littlevote/blog/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// Who sends too fast is told when to come back, and nobody behind is asked to change anything.
func TestS85AnExcessIsRefusedAndChangesNothing(t *testing.T) {
	for _, test := range []struct{ name, key string }{
		{"a voter", "voter:acme:user:1"},
		{"an address", "address:192.0.2.7"},
		{"an item", "item:acme:x"},
	} {
		w := newWorld()
		w.slow = map[string]time.Duration{test.key: 1500 * time.Millisecond}
		s := w.service(t, everything())
		for _, takeBack := range []bool{false, true} {
			got := change1(t, s, &blogv1.LikeChange{Tenant: "acme", Voter: "user:1", Item: "x", Address: "192.0.2.7", Unlike: takeBack})
			if got.GetCode() != tooFast || got.GetOutcome() != statusv1.Outcome_OUTCOME_NONE || !got.GetRetryable() || got.GetRetryAfter().AsDuration() != 1500*time.Millisecond {
				t.Errorf("%s: %v", test.name, got)
			}
		}
		if w.castCalls+w.retractCalls+w.created != 0 {
			t.Errorf("%s: somebody was asked", test.name)
		}
		if got := change1(t, s, &blogv1.LikeChange{Tenant: "acme", Voter: "user:2", Item: "y", Address: "192.0.2.8"}); got.GetCode() != ok {
			t.Errorf("%s: somebody else gets %v", test.name, got)
		}
	}
}

func TestALimitThatIsNotSetAsksNobody(t *testing.T) {
	w := newWorld()
	s := w.service(t, Config{Foreign: true, Voter: Rate{1, 1}, Address: Rate{1, 1}})
	change1(t, s, like("x"))
	if diff := cmp.Diff([]string{"voter::user:1"}, w.asked); diff != "" {
		t.Error(diff)
	}
}

func newLimiter(t *testing.T, url string) *RedisLimiter {
	t.Helper()
	rdb, err := redisledger.Open(url, 10, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	limiter, err := NewRedisLimiter(rdb, 10*time.Second, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(limiter.Close)
	return limiter
}

// Two processes share one limit: as many pass as the burst and the time allow, however they are spread.
func TestS67ALimitIsThatOfAllProcesses(t *testing.T) {
	url, key := testenv.Redis(t), testenv.Namespace(t)
	processes := []*RedisLimiter{newLimiter(t, url), newLimiter(t, url)}
	const burst = 20
	slowly := Rate{PerSecond: 1, Burst: burst}
	began := time.Now()
	passed := make(chan bool)
	for i := range 10 * burst {
		go func() {
			_, ok := processes[i%2].Allow(t.Context(), key, slowly)
			passed <- ok
		}()
	}
	n := 0
	for range 10 * burst {
		if <-passed {
			n++
		}
	}
	if most := burst + 1 + int(time.Since(began)/time.Second); n < burst || n > most {
		t.Errorf("%d passed, want %d to %d", n, burst, most)
	}
	retry, ok := processes[0].Allow(t.Context(), key, slowly)
	if ok || retry <= 0 || retry > time.Second {
		t.Errorf("%v, %v", retry, ok)
	}
	if _, ok := processes[0].Allow(t.Context(), key+"-another", slowly); !ok {
		t.Error("another caller is refused")
	}
	if retry, ok := processes[1].Allow(t.Context(), key+"-fast", Rate{PerSecond: 1000, Burst: 1}); !ok {
		t.Errorf("refused for %v", retry)
	}
	testenv.Eventually(t, 5*time.Second, func() error { // 1 ms later there is room again
		if retry, ok := processes[1].Allow(t.Context(), key+"-fast", Rate{PerSecond: 1000, Burst: 1}); !ok {
			return fmt.Errorf("refused for %v", retry)
		}
		return nil
	})
}

// Without Redis likes go on, and a process still keeps the limit.
func TestS67WithoutRedisAProcessLimitsByItself(t *testing.T) {
	limiter := newLimiter(t, "redis://127.0.0.1:1/0")
	slowly := Rate{PerSecond: 1, Burst: 5}
	var passed []bool
	for range 8 {
		_, ok := limiter.Allow(t.Context(), "somebody", slowly)
		passed = append(passed, ok)
	}
	if n := len(slices.DeleteFunc(passed, func(ok bool) bool { return !ok })); n < 5 || n > 6 {
		t.Errorf("%d passed", n)
	}
	if retry, ok := limiter.Allow(t.Context(), "somebody", slowly); !ok && (retry <= 0 || retry > time.Second) {
		t.Errorf("come back after %v", retry)
	}
	if _, ok := limiter.Allow(t.Context(), "somebody else", slowly); !ok {
		t.Error("somebody else is refused")
	}
}

// What comes while other checks are on their way to Redis goes there together.
func TestChecksGoTogether(t *testing.T) {
	p, held := newLimiter(t, testenv.Redis(t)).pipeline, &trips{release: make(chan struct{})}
	p.AddHook(held)
	const checks = 500
	done := make(chan struct{})
	for range checks {
		go func() {
			p.Eval(t.Context(), "return 1", nil)
			done <- struct{}{}
		}()
	}
	testenv.Eventually(t, 10*time.Second, func() error {
		if n := p.batch.Len() + int(held.commands.Load()); n < checks {
			return fmt.Errorf("%d checks wait", n)
		}
		return nil
	})
	close(held.release)
	for range checks {
		<-done
	}
	if n := held.pipelines.Load(); n > 4 {
		t.Errorf("%d trips to Redis", n)
	}
}
