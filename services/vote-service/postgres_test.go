package voteservice_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/testenv"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// eventually casts a vote until it counts: a process learns of a new epoch a moment after it has opened.
func (i *instance) eventually(t *testing.T, v *votev1.Vote) *votev1.Verdict {
	t.Helper()
	var verdict *votev1.Verdict
	testenv.Eventually(t, 20*time.Second, func() error {
		verdict = i.castOnce(t, v)[0]
		if verdict.GetCode() != statusv1.Code_CODE_OK {
			return fmt.Errorf("%v", verdict)
		}
		return nil
	})
	return verdict
}

// H7, H9: what was acknowledged in one ledger counts in the next, and a key has one effect over all of them.
func TestS26S27VotesGoToPostgresAndBack(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	w.persist()
	w.mint("main", 100, time.Hour)
	key, other := newKey(), newKey()
	wantCounted(t, s.cast(t, withKey(vote(nil, "A"), key))[0])
	w.hold()
	w.mintInPostgres("main", 100, time.Hour)
	if v := s.eventually(t, withKey(vote(nil, "A"), key)); v.GetTotals()[0].GetVotes() != 1 {
		t.Fatalf("%v: the same vote again", v)
	}
	wantCode(t, s.cast(t, withKey(vote(nil, "B"), key))[0], statusv1.Code_CODE_KEY_REUSED, statusv1.Outcome_OUTCOME_NONE)
	v := s.cast(t, withKey(vote(nil, "A", "B", "A"), other))[0]
	wantCounted(t, v)
	if got := v.GetTotals(); got[0].GetVotes() != 2 || got[1].GetVotes() != 1 || got[2].GetVotes() != 3 {
		t.Fatalf("totals %v", got)
	}
	if w.tally("main", "A") != 3 {
		t.Fatalf("A has %d in Postgres", w.tally("main", "A"))
	}
	w.release()
	w.mint("main", 100, time.Hour)
	for _, k := range []string{key, other} {
		choices := map[string][]string{key: {"A"}, other: {"A", "B", "A"}}[k]
		v := s.eventually(t, withKey(vote(nil, choices...), k))
		if v.GetTotals()[0].GetVotes() != 3 {
			t.Fatalf("%v: nothing new was cast", v)
		}
	}
	if v := s.cast(t, vote(nil, "A"))[0]; v.GetTotals()[0].GetVotes() != 4 {
		t.Fatalf("%v", v)
	}
}

// G4 in Postgres: many voters at two instances, one ticket.
func TestCapInPostgres(t *testing.T) {
	w := newWorld(t)
	a := w.start()
	b := w.start()
	w.persist()
	w.hold()
	w.mintInPostgres("main", 200, time.Hour)
	a.eventually(t, vote(nil, "A"))
	b.eventually(t, vote(nil, "A"))
	var counted atomic.Int64
	var wg sync.WaitGroup
	for i := range 10 {
		s := []*instance{a, b}[i%2]
		wg.Go(func() {
			for range 30 {
				v := s.cast(t, vote(nil, "A"))[0]
				switch v.GetCode() {
				case statusv1.Code_CODE_OK:
					counted.Add(1)
				case statusv1.Code_CODE_TICKET_EXHAUSTED:
				default:
					t.Errorf("%v", v)
				}
			}
		})
	}
	wg.Wait()
	if counted.Load() != 198 || w.tally("main", "A") != 200 {
		t.Fatalf("%d counted, A has %d, the cap is 200", counted.Load(), w.tally("main", "A"))
	}
}

// An old ticket is worth nothing in the next epoch, whichever ledger that is in (H23).
func TestTicketOfAnotherEpoch(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	w.persist()
	old := w.mint("main", 10, time.Hour)
	w.hold()
	w.mintInPostgres("main", 10, time.Hour)
	s.eventually(t, vote(nil, "A"))
	wantCode(t, s.cast(t, vote(old, "A"))[0], statusv1.Code_CODE_TICKET_SUPERSEDED, statusv1.Outcome_OUTCOME_NONE)
}

func TestVoteStatus(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	w.persist()
	w.mint("main", 10, time.Hour)
	status := func(id string) *votev1.GetVoteStatusResponse {
		t.Helper()
		got, err := s.GetVoteStatus(t.Context(), &votev1.GetVoteStatusRequest{VoteId: id})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	key := newKey()
	if got := status(key); got.GetState() != votev1.VoteState_VOTE_STATE_ABSENT {
		t.Fatalf("%v before it was cast", got)
	}
	keyed := s.cast(t, withKey(vote(nil, "A", "B"), key))[0]
	plain := s.cast(t, vote(nil, "A"))[0]
	for _, v := range []*votev1.Verdict{keyed, plain} {
		wantCounted(t, v)
		got := status(v.GetVoteId())
		if got.GetState() != votev1.VoteState_VOTE_STATE_COUNTED || got.GetAdmissionNumber() != v.GetAdmissionNumber() {
			t.Fatalf("%v right after %v", got, v)
		}
	}
	if _, err := s.GetVoteStatus(t.Context(), &votev1.GetVoteStatusRequest{VoteId: "x"}); err == nil {
		t.Fatal("no id is an error")
	}
}

// limited makes a ballot with a limit of votes per voter, and waits until the instance knows it.
func (w *world) limited(s *instance, limit int) string {
	w.t.Helper()
	name := "limited-" + uuid.NewString()[:8]
	_, err := w.pool.Exec(w.t.Context(), `
		INSERT INTO ballots (ballot, ticket_interval_ms, votes_per_voter) VALUES ($1, 2000, $2)`, name, limit)
	if err != nil {
		w.t.Fatal(err)
	}
	testenv.Eventually(w.t, 20*time.Second, func() error {
		_, err := w.ledger.Ticket(w.t.Context(), w.fence(), name)
		if err != nil {
			return err
		}
		v := s.cast(w.t, &votev1.Vote{Ballot: name})[0]
		if v.GetCode() == statusv1.Code_CODE_BALLOT_NOT_FOUND {
			return fmt.Errorf("%v", v)
		}
		return nil
	})
	return name
}

func by(voter, ballot, name string) *votev1.Vote {
	v := vote(nil, name)
	v.Ballot, v.Voter = ballot, voter
	return v
}

// G7 over Redis, Postgres and back: the voter's votes are carried over.
func TestVoterLimitAndRetraction(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	w.persist()
	ballot := w.limited(s, 2)
	w.mint(ballot, 100, time.Hour)
	anonymous := vote(nil, "x")
	anonymous.Ballot = ballot
	wantCode(t, s.cast(t, anonymous)[0], statusv1.Code_CODE_INVALID_ARGUMENT, statusv1.Outcome_OUTCOME_NONE)
	first := s.eventually(t, by("ann", ballot, "x"))
	wantCounted(t, s.cast(t, by("ann", ballot, "y"))[0])
	wantCode(t, s.cast(t, by("ann", ballot, "x"))[0], statusv1.Code_CODE_VOTER_LIMIT, statusv1.Outcome_OUTCOME_NONE)
	wantCounted(t, s.cast(t, by("bob", ballot, "x"))[0])

	retract := func(voter, id, key string) *votev1.Verdict {
		t.Helper()
		got, err := s.RetractVote(t.Context(), &votev1.RetractVoteRequest{Ballot: ballot, Voter: voter, VoteId: id, IdempotencyKey: key})
		if err != nil {
			t.Fatal(err)
		}
		return got.GetVerdict()
	}
	const noVote, none = statusv1.Code_CODE_VOTE_NOT_FOUND, statusv1.Outcome_OUTCOME_NONE
	wantCode(t, retract("bob", first.GetVoteId(), ""), noVote, none) // somebody else's
	wantCode(t, retract("ann", uuid.NewString(), ""), noVote, none)  // never cast
	key := newKey()
	v := retract("ann", first.GetVoteId(), key)
	wantCounted(t, v)
	if got := v.GetTotals()[0]; got.GetCandidate() != "x" || got.GetVotes() != 1 {
		t.Fatalf("%v after the retraction", got)
	}
	wantCounted(t, retract("ann", first.GetVoteId(), key)) // the same retraction again
	wantCode(t, retract("ann", first.GetVoteId(), ""), noVote, none)
	wantCounted(t, s.cast(t, by("ann", ballot, "z"))[0])
	wantCode(t, s.cast(t, by("ann", ballot, "x"))[0], statusv1.Code_CODE_VOTER_LIMIT, none)

	w.hold()
	w.mintInPostgres(ballot, 100, time.Hour)
	second := s.eventually(t, by("bob", ballot, "y"))
	wantCode(t, s.cast(t, by("ann", ballot, "x"))[0], statusv1.Code_CODE_VOTER_LIMIT, none)
	wantCode(t, s.cast(t, by("bob", ballot, "x"))[0], statusv1.Code_CODE_VOTER_LIMIT, none)
	wantCounted(t, retract("bob", second.GetVoteId(), ""))
	wantCode(t, retract("bob", second.GetVoteId(), ""), noVote, none)

	w.release()
	w.mint(ballot, 100, time.Hour)
	s.eventually(t, by("bob", ballot, "y"))
	wantCode(t, s.cast(t, by("bob", ballot, "x"))[0], statusv1.Code_CODE_VOTER_LIMIT, none)
	wantCode(t, s.cast(t, by("ann", ballot, "x"))[0], statusv1.Code_CODE_VOTER_LIMIT, none)
	// x: bob; y: ann, bob; z: ann
	for name, want := range map[string]int64{"x": 1, "y": 2, "z": 1} {
		if got := w.live(ballot, name); got != want {
			t.Errorf("%s has %d, want %d", name, got, want)
		}
	}
	status, err := s.GetVoteStatus(t.Context(), &votev1.GetVoteStatusRequest{Ballot: ballot, VoteId: first.GetVoteId()})
	if err != nil || status.GetState() != votev1.VoteState_VOTE_STATE_RETRACTED {
		t.Fatalf("%v %v", status, err)
	}
}
