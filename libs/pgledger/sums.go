package pgledger

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
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

// sums are what all batches of a transaction add to the hot rows, each of which is then touched once.
type sums struct {
	tallies map[name]tally
	tickets map[name]int64
	voters  map[voterVote]bool // whether the vote is retracted
}

func sum(batches []Event) sums {
	s := sums{tallies: map[name]tally{}, tickets: map[name]int64{}, voters: map[voterVote]bool{}}
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
	for _, v := range b.GetVotes() {
		if v.GetVoterId() == "" {
			continue
		}
		row := voterVote{b.GetBallot(), v.GetVoterId(), uuid.UUID(v.GetVoteId())}
		if len(v.GetRetracts()) > 0 {
			row.vote = uuid.UUID(v.GetRetracts())
			s.voters[row] = true
		} else if !s.voters[row] {
			s.voters[row] = false
		}
	}
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

func sortedVoters(rows map[voterVote]bool) []voterVote {
	return slices.SortedFunc(maps.Keys(rows), func(a, b voterVote) int {
		return cmp.Or(cmp.Compare(a.ballot, b.ballot), cmp.Compare(a.voter, b.voter), bytes.Compare(a.vote[:], b.vote[:]))
	})
}
