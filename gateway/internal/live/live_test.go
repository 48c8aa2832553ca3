package live

import (
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/littlevote/littlevote/gateway/internal/answer"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

func TestASnapshotThenChanges(t *testing.T) {
	s := newStore("A", "B", "C")
	s.vote("B")
	bubble(t, s, func(t *testing.T, h *Hub) {
		r := subscribe(t, h, Viewer{})
		if got := counts(r.next()); got != "A0 B1 C0 " {
			t.Errorf("snapshot: %s", got)
		}
		r.quiet(time.Second)
		s.vote("C")
		u := r.next()
		if got := counts(u); got != "C1 " || u.Stale || u.Counts[0].Stale || u.Counts[0].AsOf != u.AsOf {
			t.Errorf("change: %s %+v", got, u)
		}
		// A name that is new comes as a change; one that is gone, only as a new snapshot.
		s.set(func() { s.names = []string{"A", "AA", "B", "C"}; s.votes["AA"] = 5 })
		if got := counts(r.next()); got != "AA5 " {
			t.Errorf("a new name: %s", got)
		}
		s.set(func() { s.names = []string{"A", "AA"} })
		if u := <-r.updates; !u.Snapshot || counts(u) != "A0 AA5 " {
			t.Errorf("a name is gone: %+v", u)
		}
	})
}

func TestAtMostTenUpdatesASecond(t *testing.T) {
	s := newStore("A")
	s.grow = true
	bubble(t, s, func(t *testing.T, h *Hub) {
		r := subscribe(t, h, Viewer{})
		var at []time.Time
		for len(at) < 35 {
			r.next()
			at = append(at, time.Now())
			if n := len(at); n > 10 && at[n-1].Sub(at[n-11]) < time.Second {
				t.Fatalf("11 updates in %v", at[n-1].Sub(at[n-11]))
			}
		}
		// A reader that was late does not get two in one interval either.
		time.Sleep(330 * time.Millisecond)
		r.next()
		late := time.Now()
		r.next()
		if gap := time.Since(late); gap < 100*time.Millisecond {
			t.Errorf("the next one came after %v", gap)
		}
	})
}

func TestOneReadForAllWhoWatch(t *testing.T) {
	s := newStore("A")
	s.grow = true
	bubble(t, s, func(t *testing.T, h *Hub) {
		readers := make([]*reader, 1000)
		for i := range readers {
			readers[i] = subscribe(t, h, Viewer{})
		}
		began := s.called()
		time.Sleep(time.Second)
		if n := s.called() - began; n < 9 || n > 11 {
			t.Errorf("%d reads in a second", n)
		}
		for _, r := range readers {
			r.next()
			r.cancel()
		}
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		if h.Count() != 0 || len(h.watches) != 0 {
			t.Errorf("%d subscriptions, %d watches are left", h.Count(), len(h.watches))
		}
		left := s.called()
		time.Sleep(time.Minute)
		if s.called() != left {
			t.Error("a ballot that nobody watches is read")
		}
	})
}

func TestWhoComesAndGoesCausesNoMoreReads(t *testing.T) {
	s := newStore("A")
	bubble(t, s, func(t *testing.T, h *Hub) {
		for range 500 {
			r := subscribe(t, h, Viewer{})
			time.Sleep(2 * time.Millisecond)
			r.cancel()
			for range r.updates {
			}
		}
		if n := s.called(); n > 11 {
			t.Errorf("%d reads in a second", n)
		}
	})
}

// F23: a subscriber that stops for a minute goes on at the newest state, in one update; and a thousand of them take no more
// memory than at their beginning.
func TestF23SlowReadersGetTheNewestOnly(t *testing.T) {
	s := newStore(strings.Split("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "")...)
	s.grow = true
	bubble(t, s, func(t *testing.T, h *Hub) {
		h.cfg.Interval = 10 * time.Second // so that the test is short: the memory of a slow reader has nothing to do with it
		readers := make([]*reader, 1000)
		for i := range readers {
			readers[i] = subscribe(t, h, Viewer{})
		}
		for i := 0; i < len(readers); i += 2 {
			readers[i].next()
		}
		time.Sleep(25 * time.Second)
		before := heap()
		time.Sleep(time.Minute)
		if grown := int64(heap()) - int64(before); grown > 4<<20 {
			t.Errorf("%d bytes more after a minute", grown)
		}
		s.set(func() { s.grow = false; s.votes["B"] = 9 })
		time.Sleep(20 * time.Second)
		for i, r := range readers {
			u := r.next()
			if last := u.Counts[len(u.Counts)-1]; i%2 == 0 && (len(u.Counts) != 2 || last.Count != 9) || i%2 == 1 && len(u.Counts) != 26 {
				t.Fatalf("%d: %+v", i, u)
			}
			r.quiet(time.Millisecond)
		}
	})
}

func heap() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// A client that loses its gateway goes on with a higher number at another one, whether anything has changed or not.
func TestF23NumbersRiseFromGatewayToGateway(t *testing.T) {
	s := newStore("A")
	bubble(t, s, func(t *testing.T, first *Hub) {
		second := NewHub(s, testConfig())
		defer second.Close()
		other := subscribe(t, second, Viewer{})
		other.next()
		r := subscribe(t, first, Viewer{})
		r.next()
		for n := range 20 {
			s.vote("A")
			r.next()
			if n%2 == 0 { // the other one has seen it too, somewhat later or earlier
				time.Sleep(130 * time.Millisecond)
			}
			next := second
			if n%4 < 2 {
				next = first
			}
			r.cancel()
			again := subscribe(t, next, Viewer{})
			if u := <-again.updates; u.Number <= r.last || !u.Snapshot || u.Counts[0].Count != int64(n)+1 {
				t.Fatalf("after %d: %+v", r.last, u)
			} else {
				again.last = u.Number
			}
			r = again
		}
	})
}

func TestWhileNothingCanBeReadCountsAreStale(t *testing.T) {
	s := newStore("A")
	bubble(t, s, func(t *testing.T, h *Hub) {
		r := subscribe(t, h, Viewer{})
		asOf := r.next().AsOf
		s.set(func() { s.away = true })
		if u := r.next(); !u.Stale || len(u.Counts) != 0 || u.AsOf != asOf {
			t.Fatalf("%+v", u)
		}
		r.quiet(5 * time.Second)
		newcomer := subscribe(t, h, Viewer{})
		newcomer.quiet(time.Second)
		s.set(func() { s.away = false; s.votes["A"] = 2 })
		if u := r.next(); u.Stale || counts(u) != "A2 " {
			t.Fatalf("%+v", u)
		}
		newcomer.next()
		// The query-service may itself not be able to tell.
		s.set(func() { s.code = statusv1.Code_CODE_UNAVAILABLE })
		if u := r.next(); !u.Stale {
			t.Fatalf("%+v", u)
		}
		s.set(func() { s.code = 0 })
		if u := r.next(); u.Stale {
			t.Fatalf("%+v", u)
		}
		// For too long: told so, and not to give up.
		s.set(func() { s.frozen = true })
		began := time.Now()
		for _, one := range []*reader{r, newcomer} {
			if why := one.ended(); why.Code != statusv1.Code_CODE_UNAVAILABLE || !why.Retryable || why.RetryAfter <= 0 {
				t.Errorf("%+v", why)
			}
		}
		if took := time.Since(began); took < 10*time.Second || took > 13*time.Second {
			t.Errorf("after %v", took)
		}
	})
}

func TestABallotThatIsNot(t *testing.T) {
	s := newStore()
	s.code = statusv1.Code_CODE_BALLOT_NOT_FOUND
	bubble(t, s, func(t *testing.T, h *Hub) {
		if why := subscribe(t, h, Viewer{}).ended(); why.Code != s.code || why.Text != answer.BallotNotFound || why.Retryable {
			t.Errorf("%+v", why)
		}
	})
}

func TestSubscriptionsAreBounded(t *testing.T) {
	s := newStore("A")
	bubble(t, s, func(t *testing.T, h *Hub) {
		h.cfg.Most = 2
		first := subscribe(t, h, Viewer{})
		subscribe(t, h, Viewer{})
		_, err := h.Subscribe(t.Context(), Ballot{Full: "other", ID: "other"}, Viewer{}, nil)
		if why := answer.RefusalOf(err); why.Code != statusv1.Code_CODE_OVERLOADED || !why.Retryable {
			t.Errorf("%v", err)
		}
		first.cancel()
		for range first.updates {
		}
		if first.why != nil {
			t.Errorf("who leaves is told %v", first.why)
		}
		subscribe(t, h, Viewer{}).next()
	})
}

func TestTheGatewayStops(t *testing.T) {
	s := newStore("A")
	bubble(t, s, func(t *testing.T, h *Hub) {
		r := subscribe(t, h, Viewer{})
		r.next()
		go h.Close()
		if why := r.ended(); why.Code != statusv1.Code_CODE_UNAVAILABLE || !why.Retryable {
			t.Errorf("%+v", why)
		}
		_, err := h.Subscribe(t.Context(), Ballot{Full: "main", ID: "main"}, Viewer{}, nil)
		if why := answer.RefusalOf(err); why.Code != statusv1.Code_CODE_UNAVAILABLE {
			t.Errorf("%v", err)
		}
	})
}
