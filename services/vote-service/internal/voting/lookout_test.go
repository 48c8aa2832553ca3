package voting_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/littlevote/littlevote/libs/pgledger"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

func on(ballot string) *votev1.Vote {
	return &votev1.Vote{Ballot: ballot, Voter: "ann", Choices: []*votev1.Choice{{Candidate: "x", Count: 1}}}
}

// singlesNow is how often Postgres was asked for one ballot.
func (s *stage) singlesNow() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.singles
}

// A name that no ballot can have costs Postgres nothing.
func TestOnlyABallotsNameIsLookedFor(t *testing.T) {
	s := newStage(t)
	for _, name := range []string{"{main}:*", "Main", "a.b.c", ".main", "main\n"} {
		s.wantCode(s.cast(on(name)), statusv1.Code_CODE_BALLOT_NOT_FOUND)
	}
	if n := s.singlesNow(); n != 0 {
		t.Errorf("Postgres was asked %d times", n)
	}
}

// That a ballot was not there a moment ago is no answer: it was made since.
func TestABallotThatWasJustMadeIsVotedOn(t *testing.T) {
	s := newStage(t)
	s.set(func() { s.frozen = slices.Clone(s.ballots) }) // what the engine reads of all
	s.wantCode(s.cast(on("new")), statusv1.Code_CODE_BALLOT_NOT_FOUND)
	s.set(func() {
		s.ballots = append(s.ballots, pgledger.Ballot{
			Name: "new", State: "open", RulesVersion: 1, Visibility: pgledger.VisibleAlways, Ticketless: true, VotesPerVoter: 1,
		})
	})
	want(t, s.cast(on("new")), counted)
}

// With Postgres away nobody can say that a ballot is not there; and it is left alone for a while.
func TestABallotIsNotLookedForWhilePostgresIsAway(t *testing.T) {
	s := newStage(t)
	s.set(func() { s.singlesFail = true })
	for n := range 20 {
		s.wantCode(s.cast(on(fmt.Sprint("nowhere-", n))), statusv1.Code_CODE_UNAVAILABLE)
	}
	if n := s.singlesNow(); n != 1 {
		t.Errorf("Postgres was asked %d times", n)
	}
	want(t, s.cast(forA("")), counted)
}

// A name that is not on the list may have been added a moment ago, also since somebody was refused it. One that was not is refused
// while Postgres is away, too, and one that no candidate can have costs Postgres nothing.
func TestACandidateThatWasJustAddedIsVotedFor(t *testing.T) {
	s := newStage(t)
	list := pgledger.Ballot{
		Name: "list", State: "open", Candidates: []string{"A"}, RulesVersion: 1, Visibility: pgledger.VisibleAlways, Ticketless: true, VotesPerVoter: 100,
	}
	s.set(func() { s.ballots = append(s.ballots, list) })
	v := on("list")
	v.Choices[0].Candidate = "A"
	want(t, s.cast(v), counted)
	s.set(func() { s.frozen = slices.Clone(s.ballots) }) // what the engine reads of all
	for _, name := range []string{"x", "y"} {
		v.Choices[0].Candidate = name
		s.wantCode(s.cast(v), statusv1.Code_CODE_INVALID_ARGUMENT)
		s.set(func() {
			list.Candidates, list.RulesVersion = append(slices.Clone(list.Candidates), name), list.RulesVersion+1
			s.ballots[1] = list
		})
		want(t, s.cast(v), counted)
	}
	before := s.singlesNow()
	v.Choices[0].Candidate = "y\x00"
	s.wantCode(s.cast(v), statusv1.Code_CODE_INVALID_ARGUMENT)
	if n := s.singlesNow() - before; n != 0 {
		t.Errorf("Postgres was asked %d times", n)
	}
	s.set(func() { s.singlesFail = true })
	main := forA("")
	main.Choices[0].Candidate = "Z"
	s.wantCode(s.cast(main), statusv1.Code_CODE_INVALID_ARGUMENT)
}
