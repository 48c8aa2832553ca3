package e2e

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/tools/e2e/internal/fixture"
	"github.com/littlevote/littlevote/tools/internal/system"
	"github.com/littlevote/littlevote/tools/internal/voter"
)

// H39: ballots, and candidates, that every instance was asked for in vain take votes as soon as they are made, and their votes are seen by
// all who ask, through whichever instance.
func TestWhatWasJustMadeTakesVotesAndShowsThem(t *testing.T) {
	s := fixture.Start(t, system.Config{Replicas: 2})
	organiser := s.Gateways[0].As(s.Token(t, "olga", "", "ballots:admin"))
	ann := s.Gateways[1].As(s.Token(t, "ann", ""))
	organise := func(mutation string) {
		t.Helper()
		if err := organiser.Do(t.Context(), "mutation{"+mutation+"{id}}", nil, new(any)); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 5 {
		ballot := fmt.Sprint("new-", n)
		nobodyKnows(t, s, ann, ballot, "a", "BALLOT_NOT_FOUND")
		organise(`createBallot(input:{id:"` + ballot + `",candidates:["a"],rules:{needsTicket:false,votesPerVoter:9}})`)
		everybodySees(t, s, ann, ballot, "a")
		nobodyKnows(t, s, ann, ballot, "b", "INVALID_ARGUMENT")
		organise(`updateBallot(id:"` + ballot + `",input:{addCandidates:["b"]})`)
		everybodySees(t, s, ann, ballot, "b")
	}
}

// nobodyKnows asks each instance.
func nobodyKnows(t *testing.T, s *system.System, ann *voter.Client, ballot, name, code string) {
	t.Helper()
	for range 2 * len(s.Gateways) {
		if answer, err := ann.TicketAndVote(t.Context(), ballot, voter.NewKey(), name); err != nil || answer.Code != code {
			t.Errorf("a vote for %s on %s: %+v, %v", name, ballot, answer, err)
		}
		for _, gateway := range s.Gateways {
			if _, err := read(t, func() (voter.Count, error) { return gateway.GetUserVotes(t.Context(), ballot, name) }); voter.Code(err) != code {
				t.Errorf("a read of %s on %s: %v", name, ballot, err)
			}
		}
	}
}

// everybodySees votes once, and then asks each instance in each way.
func everybodySees(t *testing.T, s *system.System, ann *voter.Client, ballot, name string) {
	t.Helper()
	var answer voter.Answer
	key := voter.NewKey()
	testenv.Eventually(t, 10*time.Second, func() (err error) { // a machine that is slow may not get it ready in time
		if answer, err = ann.TicketAndVote(t.Context(), ballot, key, name); answer.Retryable {
			return errors.New(answer.Code)
		}
		return err
	})
	if answer.Code != "OK" {
		t.Fatalf("a vote for %s on %s: %+v", name, ballot, answer)
	}
	for range 2 {
		for _, gateway := range s.Gateways {
			if count, err := read(t, func() (voter.Count, error) { return gateway.GetUserVotes(t.Context(), ballot, name) }); err != nil || count.Votes != 1 {
				t.Errorf("%s on %s: %+v, %v", name, ballot, count, err)
			}
			if count, err := read(t, func() (voter.Count, error) {
				return gateway.GetUserVotesAtLeast(t.Context(), ballot, name, answer.Token)
			}); err != nil || count.Votes != 1 {
				t.Errorf("%s on %s, not older than its vote: %+v, %v", name, ballot, count, err)
			}
			all, err := read(t, func() ([]voter.Count, error) { return gateway.GetAllUserVotes(t.Context(), ballot) })
			if err != nil || !slices.ContainsFunc(all, func(c voter.Count) bool { return c.Username == name && c.Votes == 1 }) {
				t.Errorf("%s is not among all on %s: %+v, %v", name, ballot, all, err)
			}
		}
	}
}

// read asks again where nobody can answer now, as may be on a machine that is slow: that is not a wrong answer.
func read[T any](t *testing.T, ask func() (T, error)) (answer T, err error) {
	t.Helper()
	testenv.Eventually(t, 10*time.Second, func() error {
		if answer, err = ask(); voter.Code(err) == "UNAVAILABLE" {
			return err
		}
		return nil
	})
	return answer, err
}
