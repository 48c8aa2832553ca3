package voteservice_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// A limit per period begins anew with each, by the clock of the ledger; a vote of an earlier one can still be retracted, which
// makes no room in this one.
func TestALimitPerPeriodBeginsAnew(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	w.persist()
	const ballot, period = "daily", 2 * time.Second
	if _, err := w.pool.Exec(t.Context(), `
		INSERT INTO ballots (ballot, ticketless, ticket_interval_ms, votes_per_voter, voter_period_ms) VALUES ($1, true, 2000, 1, $2)`,
		ballot, period.Milliseconds()); err != nil {
		t.Fatal(err)
	}
	retract := func(id string) *votev1.Verdict {
		t.Helper()
		got, err := s.RetractVote(t.Context(), &votev1.RetractVoteRequest{Ballot: ballot, Voter: "ann", VoteId: id})
		if err != nil {
			t.Fatal(err)
		}
		return got.GetVerdict()
	}
	// once votes until a vote counts, and again in the same period if that is still the same afterwards.
	once := func() *votev1.Verdict {
		t.Helper()
		for {
			v := s.eventually(t, like("ann", ballot, "x"))
			again := s.cast(t, like("ann", ballot, "x"))[0]
			if again.GetCode() == noLimit {
				return v
			}
			wantCounted(t, again)
			of := func(v *votev1.Verdict) int64 { return v.GetDecidedAt().AsTime().UnixMilli() / period.Milliseconds() }
			if of(v) == of(again) {
				t.Fatalf("two votes in one period: %v, %v", v, again)
			}
		}
	}
	first := once()
	second := once() // in the next period
	wantCounted(t, retract(first.GetVoteId()))
	wantCode(t, retract(first.GetVoteId()), noVote, nothing)
	w.hold()
	wantCounted(t, once())
	wantCounted(t, retract(second.GetVoteId()))
	wantCode(t, retract(second.GetVoteId()), noVote, nothing)
	w.release()
	wantCounted(t, once())
}

// Who asks for a vote that was taken out of the count is told so.
func TestAVoidedVoteSaysSo(t *testing.T) {
	w := newWorld(t)
	s := w.start()
	w.persist()
	ballot := s.makes(t, likes("contest"))
	kept, taken := s.cast(t, like("ann", ballot, "x"))[0], s.cast(t, like("bob", ballot, "x"))[0]
	wantCounted(t, kept)
	wantCounted(t, taken)
	organise := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.ballots.CloseBallot(t.Context(), &ballotv1.CloseBallotRequest{Name: ballot, Actor: "one"})
	organise(err)
	void := uuid.NewString()
	_, err = s.ballots.ProposeVoid(t.Context(), &ballotv1.ProposeVoidRequest{
		Ballot: ballot, Id: void, FirstAdmissionNumber: taken.GetAdmissionNumber(), LastAdmissionNumber: taken.GetAdmissionNumber(),
		Reason: "a test", Actor: "one",
	})
	organise(err)
	_, err = s.ballots.ApproveVoid(t.Context(), &ballotv1.ApproveVoidRequest{Ballot: ballot, Id: void, Actor: "two"})
	organise(err)
	for v, want := range map[*votev1.Verdict]votev1.VoteState{
		kept: votev1.VoteState_VOTE_STATE_COUNTED, taken: votev1.VoteState_VOTE_STATE_VOID,
	} {
		got, err := s.GetVoteStatus(t.Context(), &votev1.GetVoteStatusRequest{Ballot: ballot, VoteId: v.GetVoteId()})
		if err != nil || got.GetState() != want || len(got.GetChoices()) != 1 || got.GetChoices()[0].GetCount() != 1 {
			t.Errorf("%v, %v, want %s", got, err, want)
		}
	}
	if n := w.live(ballot, "x"); n != 1 {
		t.Errorf("x has %d in Redis", n)
	}
	wantCode(t, s.unlike(t, "bob", ballot, "x", ""), statusv1.Code_CODE_BALLOT_CLOSED, nothing)
}
