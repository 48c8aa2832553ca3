package live

import (
	"fmt"
	"testing"
	"time"

	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

func hidden(t *testing.T, r *reader) {
	t.Helper()
	if why := r.ended(); why.Code != statusv1.Code_CODE_RESULTS_HIDDEN || why.Retryable {
		t.Errorf("%+v", why)
	}
}

func TestWhoMayNotSeeGetsNothing(t *testing.T) {
	s := newStore("A")
	s.may = func(*queryv1.Viewer) bool { return false }
	bubble(t, s, func(t *testing.T, h *Hub) {
		for _, viewer := range []Viewer{{}, {Voter: "user:1"}, {Voter: "user:2", Organiser: true}} {
			r := subscribe(t, h, viewer)
			if u, open := <-r.updates; open {
				t.Fatalf("%+v got %+v", viewer, u)
			}
			hidden(t, r)
		}
	})
}

// Only who has voted may see: each viewer's right is looked at before the first update, and noticed when it is lost.
func TestRightsOfEachViewer(t *testing.T) {
	s := newStore("A", "B")
	voted := map[string]bool{"user:1": true, "user:2": true}
	s.may = func(v *queryv1.Viewer) bool { return voted[v.GetVoter()] || v.GetOrganiser() }
	bubble(t, s, func(t *testing.T, h *Hub) {
		one, again, two := subscribe(t, h, Viewer{Voter: "user:1"}), subscribe(t, h, Viewer{Voter: "user:1"}), subscribe(t, h, Viewer{Voter: "user:2"})
		organiser := subscribe(t, h, Viewer{Voter: "user:9", Organiser: true})
		for _, r := range []*reader{one, again, two, organiser} {
			r.next()
		}
		// Newcomers without a right see nothing, whoever may see already.
		for _, viewer := range []Viewer{{}, {Voter: "user:9"}, {Voter: "user:3"}} {
			r := subscribe(t, h, viewer)
			if u, open := <-r.updates; open {
				t.Fatalf("%+v got %+v", viewer, u)
			}
			hidden(t, r)
		}
		// One read of the counts still, whoever watches.
		reads := s.read()
		time.Sleep(10 * time.Second)
		if n := s.read() - reads; n > 100+10*2*3+5 { // each of three viewers once a second, and with it somebody unknown
			t.Errorf("%d reads in 10 seconds", n)
		}
		// A retracted vote takes the right away within about a second; the others go on.
		s.set(func() { delete(voted, "user:1") })
		began := time.Now()
		hidden(t, one)
		hidden(t, again)
		if took := time.Since(began); took > 1200*time.Millisecond {
			t.Errorf("after %v", took)
		}
		s.vote("B")
		if got := counts(two.next()); got != "B1 " {
			t.Error(got)
		}
		// Once it is closed everybody may see, and nobody is asked about any more.
		s.set(func() { s.may = nil })
		time.Sleep(1500 * time.Millisecond)
		subscribe(t, h, Viewer{}).next()
		reads = s.read()
		time.Sleep(10 * time.Second)
		if n := s.read() - reads; n > 101 {
			t.Errorf("%d reads in 10 seconds of a ballot that everybody may see", n)
		}
	})
}

func TestRightsOfManyViewers(t *testing.T) {
	const all = 1100 // more than one call asks about
	s := newStore("A")
	s.may = func(v *queryv1.Viewer) bool { return len(v.GetVoter()) > 0 && v.GetVoter()[len(v.GetVoter())-1] != '3' }
	bubble(t, s, func(t *testing.T, h *Hub) {
		readers := make([]*reader, all)
		for i := range readers {
			readers[i] = subscribe(t, h, Viewer{Voter: fmt.Sprint("user:", i)})
		}
		for i, r := range readers {
			if i%10 == 3 {
				hidden(t, r)
			} else {
				r.next()
			}
		}
		s.set(func() { s.may = func(*queryv1.Viewer) bool { return false } })
		for i, r := range readers {
			if i%10 != 3 {
				hidden(t, r)
			}
		}
	})
}
