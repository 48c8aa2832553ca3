package voter

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/tools/internal/checker"
)

// Voter votes on one ballot and writes down what happened.
type Voter struct {
	*Client
	Ballot  string
	History *checker.History
}

// NeverSent is the code of a vote that nobody was there to take.
const NeverSent = "NEVER_SENT"

// NewKey makes an idempotency key.
func NewKey() string { return uuid.Must(uuid.NewV7()).String() }

// Vote votes with a ticket; an empty key is none. What it returns is written down.
func (v Voter) Vote(ctx context.Context, ticket Ticket, key string, names ...string) (Answer, checker.Attempt) {
	return v.attempt(key, ticket.Version, names, func() (Answer, error) {
		return v.vote(ctx, v.Ballot, ticket, key, names)
	})
}

// TicketAndVote votes with the newest ticket; an empty key is none. What it returns is written down.
func (v Voter) TicketAndVote(ctx context.Context, key string, names ...string) (Answer, checker.Attempt) {
	return v.attempt(key, "", names, func() (Answer, error) {
		return v.ticketAndVote(ctx, v.Ballot, key, names)
	})
}

func (v Voter) attempt(key, ticket string, names []string, send func() (Answer, error)) (Answer, checker.Attempt) {
	a := checker.Attempt{
		ID: strings.ToLower(key), Keyed: key != "", Ballot: v.Ballot, Names: slices.Clone(names), Ticket: ticket, Sent: time.Now(),
	}
	answer, err := send()
	a.Answered = time.Now()
	switch {
	case err == nil:
		a.Outcome, a.Code = outcome(answer), answer.Code
		if a.ID == "" {
			a.ID = answer.VoteID
		}
	case Code(err) != "":
		a.Outcome, a.Code = checker.None, Code(err)
	case Unsent(err):
		a.Outcome, a.Code = checker.None, NeverSent
	default:
		a.Outcome, a.Code = checker.Unknown, err.Error()
	}
	v.History.Add(a)
	return answer, a
}

// outcome is what an answer says: an older client goes by success alone.
func outcome(answer Answer) checker.Outcome {
	if answer.Success {
		return checker.Counted
	}
	return checker.Outcome(answer.Outcome)
}

// Resolve sends a vote again under its key until its end is known or ctx ends; false means that it is not.
func (v Voter) Resolve(ctx context.Context, a checker.Attempt) bool {
	for ctx.Err() == nil {
		if _, again := v.TicketAndVote(ctx, a.ID, a.Names...); again.Outcome == checker.Counted {
			return true
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	return false
}
