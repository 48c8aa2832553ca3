package voteservice_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/littlevote/littlevote/libs/certified"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/testenv"
	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// A ballot's life: made, voted on, closed on one instance and so on each, certified with what was acknowledged.
func TestG6LifeOfABallot(t *testing.T) {
	w := newWorld(t)
	a, b := w.start(), w.start()
	w.persist()
	_, err := a.ballots.CreateBallot(t.Context(), &ballotv1.CreateBallotRequest{
		Ballot: &ballotv1.Ballot{Name: "final", Candidates: []string{"Anna", "Bob"}}, Actor: "cli:test",
	})
	if err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 10*time.Second, func() error {
		_, err := w.ledger.Ticket(t.Context(), w.fence(), "final")
		return err
	})
	w.mint("final", 100, time.Hour)
	anna, bob := vote(nil, "Anna"), vote(nil, "Bob", "Anna")
	anna.Ballot, bob.Ballot = "final", "final"
	for _, i := range []*instance{a, b} {
		testenv.Eventually(t, 10*time.Second, func() error { // it has seen the ballot
			if v := i.cast(t, anna)[0]; v.GetCode() != statusv1.Code_CODE_OK {
				return fmt.Errorf("%s %s", v.GetCode(), v.GetDetail())
			}
			return nil
		})
		wantCounted(t, i.cast(t, bob)[0])
	}
	if _, err := a.ballots.CloseBallot(t.Context(), &ballotv1.CloseBallotRequest{Name: "final", Actor: "cli:test"}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, b.cast(t, anna)[0], statusv1.Code_CODE_BALLOT_CLOSED, statusv1.Outcome_OUTCOME_NONE)
	result, err := b.ballots.CertifyBallot(t.Context(), &ballotv1.CertifyBallotRequest{Name: "final", Actor: "cli:test"})
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int64{}
	for _, c := range result.GetResult().GetCounts() {
		counts[c.GetCandidate()] = c.GetVotes()
	}
	if counts["Anna"] != 4 || counts["Bob"] != 2 || result.GetResult().GetVotes() != 4 {
		t.Errorf("%v", result)
	}
}

// A contest of a tenant, run on one instance while another one takes the votes: each change holds there as soon as it returns;
// voided votes are out of every count, and out of the result, which is signed.
func TestG6AContestFromDraftToResult(t *testing.T) {
	w := newWorld(t)
	desk, hall := w.start(), w.start()
	w.persist()
	const name = "acme.final"
	update := func(change func(*ballotv1.UpdateBallotRequest)) {
		t.Helper()
		req := &ballotv1.UpdateBallotRequest{Name: name, Actor: "cli:anna"}
		change(req)
		if _, err := desk.ballots.UpdateBallot(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	become := func(state ballotv1.BallotState) {
		t.Helper()
		update(func(r *ballotv1.UpdateBallotRequest) { r.State = &state })
	}
	if _, err := desk.ballots.CreateBallot(t.Context(), &ballotv1.CreateBallotRequest{
		Ballot: &ballotv1.Ballot{Name: name, State: ballotv1.BallotState_BALLOT_STATE_DRAFT, Candidates: []string{"Anna", "Bob"}},
		Actor:  "cli:anna",
	}); err != nil {
		t.Fatal(err)
	}
	cast := func(candidate, voter string) *votev1.Verdict {
		v := vote(nil, candidate)
		v.Ballot, v.Voter = name, voter
		return hall.cast(t, v)[0]
	}
	testenv.Eventually(t, 10*time.Second, func() error {
		if v := cast("Anna", "u"); v.GetCode() != statusv1.Code_CODE_BALLOT_CLOSED {
			return fmt.Errorf("%s %s", v.GetCode(), v.GetDetail())
		}
		return nil
	})
	update(func(r *ballotv1.UpdateBallotRequest) {
		r.RemoveCandidates, r.Rules = []string{"Bob"}, &ballotv1.DraftRules{Ticketless: true, VotesPerVoter: 1}
	})
	become(ballotv1.BallotState_BALLOT_STATE_OPEN)
	wantCode(t, cast("Bob", "u"), statusv1.Code_CODE_INVALID_ARGUMENT, statusv1.Outcome_OUTCOME_NONE)
	wantCounted(t, cast("Anna", "u"))
	wantCode(t, cast("Anna", "u"), statusv1.Code_CODE_VOTER_LIMIT, statusv1.Outcome_OUTCOME_NONE)
	become(ballotv1.BallotState_BALLOT_STATE_PAUSED)
	wantCode(t, cast("Anna", "v"), statusv1.Code_CODE_BALLOT_CLOSED, statusv1.Outcome_OUTCOME_NONE)
	become(ballotv1.BallotState_BALLOT_STATE_OPEN)
	wantCounted(t, cast("Anna", "v"))
	closing := &ballotv1.CloseBallotRequest{Name: name, Actor: "cli:anna"}
	if _, err := desk.ballots.CloseBallot(t.Context(), closing); err != nil {
		t.Fatal(err)
	}
	wantCode(t, cast("Anna", "w"), statusv1.Code_CODE_BALLOT_CLOSED, statusv1.Outcome_OUTCOME_NONE)

	void := &ballotv1.ProposeVoidRequest{
		Ballot: name, FirstAdmissionNumber: 2, LastAdmissionNumber: 2, Reason: "a bot", Actor: "cli:anna", Id: newKey(),
	}
	if _, err := desk.ballots.ProposeVoid(t.Context(), void); err != nil {
		t.Fatal(err)
	}
	approval := &ballotv1.ApproveVoidRequest{Ballot: name, Id: void.GetId(), Actor: "cli:bob"}
	if _, err := hall.ballots.ApproveVoid(t.Context(), approval); err != nil {
		t.Fatal(err)
	}
	if votes := w.live(name, "Anna"); votes != 1 {
		t.Errorf("the live count is %d after the void", votes)
	}
	answer, err := hall.ballots.CertifyBallot(t.Context(), &ballotv1.CertifyBallotRequest{Name: name, Actor: "cli:bob"})
	if err != nil {
		t.Fatal(err)
	}
	document, err := certified.Verify(answer.GetResult().GetSigned(), certified.DevPublicKey())
	if err != nil || document.Ballot != name || document.Votes != 1 || document.Voided != 1 || document.Counts[0].Votes != 1 {
		t.Errorf("%+v, %v", document, err)
	}
}

// Somebody touches a count in Redis: the epoch changes, and the count is right again.
func TestS27S70RedisAndPostgresAgreeAgain(t *testing.T) {
	w := newWorld(t)
	w.cfg.Reconcile.Interval = 100 * time.Millisecond
	i := w.start()
	w.persist()
	w.mint("main", 100, time.Hour)
	wantCounted(t, i.cast(t, vote(nil, "A"))[0])
	before := w.fence()
	rdb, err := redisledger.Open(w.cfg.Redis.URL, 1, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer rdb.Close()
	if err := rdb.HIncrBy(t.Context(), fmt.Sprintf("{main}:%s:tally", before.NS), "A", 41).Err(); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 20*time.Second, func() error {
		if now := w.fence(); now.Epoch == before.Epoch || now.NS == "" {
			return errors.New("the epoch goes on")
		}
		_, err := w.ledger.Ticket(t.Context(), w.fence(), "main")
		return err
	})
	if votes := w.live("main", "A"); votes != 1 {
		t.Errorf("A has %d votes", votes)
	}
}
