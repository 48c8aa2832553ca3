package load

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/littlevote/littlevote/tools/internal/checker"
	"github.com/littlevote/littlevote/tools/internal/voter"
)

const (
	// tries is how often a voter sends a vote whose end is unknown before it goes on to the next.
	tries = 4
	// think is the longest pause between two votes.
	think = 20 * time.Millisecond
	// refusedPause is the longest pause after a vote that did not count.
	refusedPause = 50 * time.Millisecond
)

// session is one voter.
type session struct {
	number   int
	random   *rand.Rand
	gateways []*voter.Client
	history  *checker.History
	held     voter.Ticket
	turns    int
	crowd    *Crowd
}

// voter is the session at one gateway, another each time.
func (s *session) voter() voter.Voter {
	s.turns++
	return voter.Voter{Client: s.gateways[(s.number+s.turns)%len(s.gateways)], Ballot: s.crowd.ballot, History: s.history}
}

func (s *session) names() []string {
	names := []string{letter(s.number)}
	for s.random.IntN(4) == 0 {
		names = append(names, letter(s.random.IntN(26)))
	}
	return names
}

func letter(n int) string { return string(rune('A' + n%26)) }

const (
	uniqueBallot = "tiny" // it takes any name
	maxUniques   = 5000   // it takes twice as many
)

// unique votes for a name that nobody else votes for, and reads it with the token: whatever happens, the vote is in the count.
func (s *session) unique(ctx context.Context) {
	v := s.voter()
	v.Ballot = uniqueBallot
	key := voter.NewKey()
	answer, a := v.TicketAndVote(ctx, key, "u-"+key)
	if a.Outcome != checker.Counted {
		return
	}
	r := checker.Read{
		Session: s.number, Ballot: uniqueBallot, Name: "u-" + key, Token: answer.Token, Least: 1, Acknowledged: 1, Sent: time.Now(),
	}
	count, err := s.voter().GetUserVotesAtLeast(ctx, uniqueBallot, r.Name, r.Token)
	if err != nil {
		s.crowd.readFailed()
		return
	}
	r.Votes, r.Stale = count.Votes, count.Stale
	s.history.AddRead(r)
}

// turn is one vote, and what the voter does about it.
func (s *session) turn(ctx context.Context) {
	if s.random.IntN(12) == 0 && s.crowd.uniques.Add(1) <= maxUniques {
		s.unique(ctx)
		s.pause(think)
		return
	}
	key := ""
	if s.random.IntN(4) != 0 {
		key = voter.NewKey()
	}
	names := s.names()
	answer, a := s.vote(ctx, key, names)
	for try := 1; try < tries && key != "" && a.Outcome == checker.Unknown; try++ {
		if try == 1 {
			s.crowd.beyond(s.retry(ctx, key, names, &answer))
		} else {
			s.retry(ctx, key, names, &answer)
		}
		if answer.Success {
			a.Outcome = checker.Counted
		}
		s.pause(refusedPause)
	}
	if a.Outcome == checker.Counted {
		s.look(ctx, names[0], answer)
		s.pause(think)
		return
	}
	s.held = voter.Ticket{}
	s.pause(refusedPause)
}

// vote votes with the newest ticket, or with one that it fetched.
func (s *session) vote(ctx context.Context, key string, names []string) (voter.Answer, checker.Attempt) {
	v := s.voter()
	if s.number%3 != 0 {
		return v.TicketAndVote(ctx, key, names...)
	}
	if s.held.Version == "" || time.Now().After(s.held.ExpiresAt) {
		ticket, err := v.GetTicket(ctx, v.Ballot)
		if err != nil {
			return voter.Answer{}, checker.Attempt{Outcome: checker.None, Code: voter.Code(err)}
		}
		s.held = ticket
	}
	return v.Vote(ctx, s.held, key, names...)
}

// retry sends the vote again and says whether that helped.
func (s *session) retry(ctx context.Context, key string, names []string, answer *voter.Answer) bool {
	again, a := s.voter().TicketAndVote(ctx, key, names...)
	if a.Outcome != checker.Counted {
		return false
	}
	*answer = again
	return true
}

// onlook reads a count that may grow.
func (s *session) onlook(ctx context.Context) {
	s.read(ctx, checker.Read{Name: letter(s.random.IntN(26))})
	s.pause(think)
}

// look reads the count that has just grown, or does not.
func (s *session) look(ctx context.Context, name string, answer voter.Answer) {
	var least int64
	for _, total := range answer.Totals {
		if total.Username == name {
			least = total.Votes
		}
	}
	switch s.random.IntN(4) {
	case 0:
		s.read(ctx, checker.Read{Name: name, Token: answer.Token, Least: least})
	case 1, 2:
		s.read(ctx, checker.Read{Name: name})
	}
}

// read reads a count, and writes it down.
func (s *session) read(ctx context.Context, r checker.Read) {
	v := s.voter()
	r.Session, r.Ballot, r.Acknowledged, r.Sent = s.number, v.Ballot, s.history.Acknowledged(v.Ballot, r.Name), time.Now()
	var count voter.Count
	var err error
	if r.Token == "" {
		count, err = v.GetUserVotes(ctx, v.Ballot, r.Name)
	} else {
		count, err = v.GetUserVotesAtLeast(ctx, v.Ballot, r.Name, r.Token)
	}
	if err != nil {
		s.crowd.readFailed()
		return
	}
	r.Votes, r.Stale = count.Votes, count.Stale
	s.history.AddRead(r)
}

func (s *session) pause(longest time.Duration) {
	select {
	case <-s.crowd.stopped:
	case <-time.After(time.Duration(s.random.Int64N(int64(longest)))):
	}
}
