// Package dialect holds what the GraphQL schemas of other voting systems have in common here. Each of them is served by a
// package of its own, over the same services as /graphql, on a ballot of its own; there is no second way for a vote.
package dialect

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"

	"github.com/littlevote/littlevote/gateway/graph/model"
	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/identity"
	"github.com/littlevote/littlevote/gateway/internal/overload"
	"github.com/littlevote/littlevote/gateway/internal/votes"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	ticketv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ticket/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// TicketReader finds the ticket of now, whatever is left of it.
type TicketReader interface {
	Newest(ctx context.Context, ballot string) (*model.Ticket, error)
}

// TallyReader finds counts.
type TallyReader interface {
	One(ctx context.Context, ballot, candidate, atLeast string) (*model.UserVote, error)
}

// Voter decides votes.
type Voter interface {
	Cast(ctx context.Context, vote votes.Vote) *votev1.Verdict
}

// Services are those that /graphql stands on.
type Services struct {
	Ballot  string // its id; a tenant that names itself has another of this id, or none
	Tickets TicketReader
	Tallies TallyReader
	Voter   Voter
}

// ballot is the full name of the caller's tenant's ballot.
func (s Services) ballot(ctx context.Context) string {
	ballot, _ := identity.From(ctx).Tenant.Ballot(&s.Ballot)
	return ballot.Full()
}

// Count is how many votes a candidate has. Any name may be asked for; what no ballot takes for one has none.
func (s Services) Count(ctx context.Context, username string) (int32, error) {
	if overload.IsShed(ctx) {
		return 0, overloaded()
	}
	vote, err := s.Tallies.One(ctx, s.ballot(ctx), username, "")
	var refusal *answer.Refusal
	switch {
	case errors.As(err, &refusal) && refusal.Code == statusv1.Code_CODE_INVALID_ARGUMENT:
		return 0, nil
	case err != nil:
		return 0, err
	default:
		return vote.Votes()
	}
}

// Ticket is the ticket of now; nil without an error if there is none.
func (s Services) Ticket(ctx context.Context) (*model.Ticket, error) {
	if overload.IsShed(ctx) {
		return nil, overloaded()
	}
	ticket, err := s.Tickets.Newest(ctx, s.ballot(ctx))
	var refusal *answer.Refusal
	if errors.As(err, &refusal) {
		switch refusal.Code {
		case statusv1.Code_CODE_TICKET_EXPIRED, statusv1.Code_CODE_BALLOT_CLOSED:
			return nil, nil
		}
	}
	return ticket, err
}

// Cast decides a vote, unless the request is too much.
func (s Services) Cast(ctx context.Context, vote votes.Vote) *votev1.Verdict {
	if overload.IsShed(ctx) {
		return &votev1.Verdict{Code: statusv1.Code_CODE_OVERLOADED, Outcome: statusv1.Outcome_OUTCOME_NONE, Retryable: true}
	}
	vote.Ballot = s.ballot(ctx)
	return s.Voter.Cast(ctx, vote)
}

func overloaded() *answer.Refusal {
	return &answer.Refusal{
		Code: statusv1.Code_CODE_OVERLOADED, Text: answer.Overloaded, Retryable: true, RetryAfter: time.Second,
	}
}

// ExhaustedToo is a ticket service that also hands out tickets whose uses are all taken, as these schemas show them.
type ExhaustedToo struct{ ticketv1.TicketServiceClient }

// GetTicket asks for the ticket of now, whatever is left of it.
func (e ExhaustedToo) GetTicket(
	ctx context.Context, request *ticketv1.GetTicketRequest, options ...grpc.CallOption,
) (*ticketv1.GetTicketResponse, error) {
	return e.TicketServiceClient.GetTicket(ctx, &ticketv1.GetTicketRequest{Ballot: request.GetBallot(), ExhaustedToo: true}, options...)
}
