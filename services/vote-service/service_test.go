package voteservice_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/testenv"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

func TestVoteIsLoggedCountedAndAnswered(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	ref := w.mint("main", 100, time.Hour)
	v := s.cast(t, vote(ref, "A", "B", "A"))[0]
	wantCounted(t, v)
	want := []*votev1.Total{{Candidate: "A", Votes: 1}, {Candidate: "B", Votes: 1}, {Candidate: "A", Votes: 2}}
	if diff := cmp.Diff(want, v.GetTotals(), protocmp.Transform()); diff != "" {
		t.Fatal(diff)
	}
	if id, err := uuid.Parse(v.GetVoteId()); err != nil || id.Version() != 7 || v.GetAdmissionNumber() != 1 || v.GetToken() == "" {
		t.Fatalf("%v", v)
	}
	if w.live("main", "A") != 2 || w.left("main") != 99 {
		t.Fatalf("A has %d, %d uses left: one use per request, not per candidate", w.live("main", "A"), w.left("main"))
	}
	b := w.logged(1)[0]
	if b.GetTicketVersion() != ref.GetVersion() || b.GetEpoch() != w.fence().Epoch {
		t.Fatalf("record: %v", b)
	}
}

// S32, G4: under saturation exactly the cap is counted.
func TestS32CapUnderSaturation(t *testing.T) {
	w := newWorld(t)
	one, two := w.start(), w.start()
	ref := w.mint("main", 100, time.Hour)
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex
		results = map[statusv1.Code]int{}
	)
	for g := range 20 {
		s := one
		if g%2 == 1 {
			s = two
		}
		wg.Go(func() {
			for range 10 {
				v := s.cast(t, vote(ref, "A"), vote(nil, "A"))
				mu.Lock()
				results[v[0].GetCode()]++
				results[v[1].GetCode()]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	want := map[statusv1.Code]int{statusv1.Code_CODE_OK: 100, statusv1.Code_CODE_TICKET_EXHAUSTED: 300}
	if diff := cmp.Diff(want, results); diff != "" {
		t.Fatal(diff)
	}
	if got := w.live("main", "A"); got != 100 {
		t.Fatalf("A has %d", got)
	}
	seen := map[int64]bool{}
	for _, b := range w.logged(100) {
		for i := range b.GetVotes() {
			seen[b.GetFirstAdmissionNumber()+int64(i)] = true
		}
	}
	for n := range int64(100) {
		if !seen[n+1] {
			t.Fatalf("admission number %d is missing", n+1)
		}
	}
}

// Running totals: every success of one candidate has a total of its own, and the last is the count.
func TestTotalsAreExact(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	w.mint("main", redisledger.NoCap, time.Hour)
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		seen = map[int64]int{}
	)
	for range 8 {
		wg.Go(func() {
			for range 25 {
				v := s.cast(t, vote(nil, "Q"))[0]
				mu.Lock()
				seen[v.GetTotals()[0].GetVotes()]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for n := range int64(200) {
		if seen[n+1] != 1 {
			t.Fatalf("total %d was told %d times", n+1, seen[n+1])
		}
	}
}

// S33: a ticket whose time is over admits nothing.
func TestS33ExpiredTicket(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	first := w.mint("main", 100, 100*time.Millisecond)
	var second *votev1.TicketRef
	wait := func() {
		testenv.Eventually(t, 5*time.Second, func() error {
			if state, err := w.ledger.Ticket(t.Context(), w.fence(), "main"); err != nil || state.Usable() {
				return fmt.Errorf("still usable: %w", err)
			}
			return nil
		})
	}
	wait()
	wantCode(t, s.cast(t, vote(first, "A"))[0], statusv1.Code_CODE_TICKET_EXPIRED, statusv1.Outcome_OUTCOME_NONE)
	v := s.cast(t, vote(nil, "A"))[0]
	wantCode(t, v, statusv1.Code_CODE_TICKET_EXPIRED, statusv1.Outcome_OUTCOME_NONE)
	if !v.GetRetryable() {
		t.Fatal("whoever takes the newest may try again")
	}
	second = w.mint("main", 100, time.Hour)
	wantCode(t, s.cast(t, vote(first, "A"))[0], statusv1.Code_CODE_TICKET_SUPERSEDED, statusv1.Outcome_OUTCOME_NONE)
	wantCounted(t, s.cast(t, vote(second, "A"))[0])
}

// A full queue refuses at once, and says so as something to try again.
func TestOverload(t *testing.T) {
	w := newWorld(t)
	w.cfg.Vote.Queue = 5
	w.cfg.Vote.BatchVotes = 1
	w.cfg.Vote.Workers = 1
	s := w.start()
	w.mint("main", redisledger.NoCap, time.Hour)
	votes := make([]*votev1.Vote, 500)
	for i := range votes {
		votes[i] = vote(nil, "A")
	}
	counted := int64(0)
	for _, v := range s.cast(t, votes...) {
		if v.GetCode() == statusv1.Code_CODE_OK {
			counted++
			continue
		}
		wantCode(t, v, statusv1.Code_CODE_OVERLOADED, statusv1.Outcome_OUTCOME_NONE)
		if !v.GetRetryable() || v.GetRetryAfter().AsDuration() <= 0 {
			t.Fatalf("%v", v)
		}
	}
	if counted == 0 || counted == 500 {
		t.Fatalf("%d of 500 counted: the queue has no bound, or no room", counted)
	}
	if got := w.live("main", "A"); got != counted {
		t.Fatalf("A has %d, %d were told that they count", got, counted)
	}
}

// A stop answers what was taken in, and the next instance needs no new epoch.
func TestStopDrainsAndLeavesTheEpochOpen(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	w.mint("main", redisledger.NoCap, time.Hour)
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex
		counted int64
	)
	first := make(chan struct{}, 1000)
	for range 8 {
		wg.Go(func() {
			for {
				resp, err := s.CastVotes(context.WithoutCancel(t.Context()), &votev1.CastVotesRequest{Votes: []*votev1.Vote{vote(nil, "A")}})
				if err != nil {
					return // the port is closed
				}
				v := resp.GetVerdicts()[0]
				switch v.GetOutcome() {
				case statusv1.Outcome_OUTCOME_COUNTED:
					mu.Lock()
					counted++
					mu.Unlock()
					select {
					case first <- struct{}{}:
					default:
					}
				case statusv1.Outcome_OUTCOME_UNKNOWN:
					t.Errorf("a stop left a vote unknown: %v", v)
				}
			}
		})
	}
	<-first
	s.stop()
	wg.Wait()
	if got := w.live("main", "A"); got != counted {
		t.Fatalf("A has %d, %d were told that they count", got, counted)
	}
	before := w.fence()
	next := w.start()
	wantCounted(t, next.cast(t, vote(nil, "A"))[0])
	if after := w.fence(); after != before {
		t.Fatalf("a restart changed the epoch from %+v to %+v", before, after)
	}
}
