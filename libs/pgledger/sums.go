package pgledger

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

// name is a row of user_votes or of tickets: a ballot with a candidate or with a ticket version.
type name struct{ ballot, name string }

// tally is what a transaction adds to a row of user_votes.
type tally struct {
	delta   int64
	version int64
	at      time.Time
}

// voterVote is a row of voter_votes.
type voterVote struct {
	ballot, voter string
	vote          uuid.UUID
}

// voterState is what a transaction knows of a row of voter_votes: of a vote what it is for and when it was admitted, of its
// retraction that it is retracted, of both all.
type voterState struct {
	retracted bool
	candidate string
	at        *time.Time
}

// sums are what all batches of a transaction add to the hot rows, each of which is then touched once.
type sums struct {
	tallies map[name]tally
	tickets map[name]int64
	voters  map[voterVote]voterState
}

func sum(batches []Event) sums {
	s := sums{tallies: map[name]tally{}, tickets: map[name]int64{}, voters: map[voterVote]voterState{}}
	for _, b := range batches {
		if b.GetTicketVersion() != "" { // retractions take no use
			s.tickets[name{b.GetBallot(), b.GetTicketVersion()}] += int64(len(b.GetVotes()))
		}
		s.add(b)
		s.addVoters(b)
	}
	return s
}

// addVoters notes whose votes these are, and which of their votes are taken back.
func (s sums) addVoters(b Event) {
	at := time.UnixMilli(b.GetAdmittedAtMs())
	for _, v := range b.GetVotes() {
		if v.GetVoterId() == "" {
			continue
		}
		if len(v.GetRetracts()) > 0 {
			row := voterVote{b.GetBallot(), v.GetVoterId(), uuid.UUID(v.GetRetracts())}
			state := s.voters[row]
			state.retracted = true
			s.voters[row] = state
		}
		candidate, gives := given(b, v)
		if !gives {
			continue
		}
		row := voterVote{b.GetBallot(), v.GetVoterId(), uuid.UUID(v.GetVoteId())}
		state := s.voters[row]
		state.candidate, state.at = candidate, &at
		s.voters[row] = state
	}
}

// given returns the one candidate that a vote is for, or none if it is for several. gives is false for a retraction, which
// only takes back; what a change takes back is left out.
func given(b Event, v *eventv1.VoteEvent) (candidate string, gives bool) {
	for i, c := range v.GetCandidates() {
		if takesBack(v, i) {
			continue
		}
		if gives && candidate != b.GetCandidates()[c] {
			return "", true
		}
		candidate, gives = b.GetCandidates()[c], true
	}
	return candidate, gives
}

// takesBack says that a choice is one of the vote that this retraction or change is of.
func takesBack(v *eventv1.VoteEvent, choice int) bool {
	return len(v.GetRetracts()) > 0 && v.GetDeltas()[choice] < 0
}

// add sums up a batch by candidate index first: one look into the map per candidate, not per vote.
func (s sums) add(b Event) {
	deltas := make([]int64, len(b.GetCandidates()))
	last := make([]int64, len(b.GetCandidates())) // the admission number of the last vote for the candidate
	for i, v := range b.GetVotes() {
		for j, c := range v.GetCandidates() {
			deltas[c] += v.GetDeltas()[j]
			last[c] = b.GetFirstAdmissionNumber() + int64(i)
		}
	}
	at := time.UnixMilli(b.GetAdmittedAtMs())
	for c, candidate := range b.GetCandidates() {
		if last[c] == 0 {
			continue // named by votes that were not accepted
		}
		key := name{b.GetBallot(), candidate}
		sum := s.tallies[key]
		sum.delta += deltas[c]
		sum.version = max(sum.version, last[c])
		if at.After(sum.at) {
			sum.at = at
		}
		s.tallies[key] = sum
	}
}

// sorted is the order in which every transaction locks the rows of a table.
func sorted[V any](rows map[name]V) []name {
	return slices.SortedFunc(maps.Keys(rows), func(a, b name) int {
		return cmp.Or(cmp.Compare(a.ballot, b.ballot), cmp.Compare(a.name, b.name))
	})
}

func sortedVoters(rows map[voterVote]voterState) []voterVote {
	return slices.SortedFunc(maps.Keys(rows), func(a, b voterVote) int {
		return cmp.Or(cmp.Compare(a.ballot, b.ballot), cmp.Compare(a.voter, b.voter), bytes.Compare(a.vote[:], b.vote[:]))
	})
}
