package reads

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/littlevote/littlevote/gateway/graph/model"
	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/overload"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	ticketv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ticket/v1"
)

// TimeFormat is RFC 3339 in milliseconds, for times in UTC.
const TimeFormat = "2006-01-02T15:04:05.000Z"

// Tickets reads the newest tickets. It is safe for concurrent use.
type Tickets struct {
	client ticketv1.TicketServiceClient
	reads  *shared[string, *model.Ticket]
}

// NewTickets starts a reader; Close ends it.
func NewTickets(client ticketv1.TicketServiceClient, cfg Config, observer overload.Observer) *Tickets {
	t := &Tickets{client: client}
	t.reads = newShared(cfg, "GetTicket", observer, t.fetch)
	return t
}

// Newest returns the newest usable ticket of a ballot, or an answer.Refusal.
func (t *Tickets) Newest(ctx context.Context, ballot string) (*model.Ticket, error) {
	return t.reads.get(ctx, ballot)
}

// Waiting is how many reads wait to be sent.
func (t *Tickets) Waiting() int { return t.reads.batch.Len() }

// Close refuses new reads and waits for those that are under way, at most as long as ctx.
func (t *Tickets) Close(ctx context.Context) { t.reads.close(ctx) }

func (t *Tickets) fetch(ctx context.Context, ballots []string, answerTo func(i int, ticket *model.Ticket, err error)) {
	oneByOne(ctx, ballots, t.one, answerTo)
}

func (t *Tickets) one(ctx context.Context, ballot string) (*model.Ticket, error) {
	response, err := again(ctx, func() (*ticketv1.GetTicketResponse, error) {
		return t.client.GetTicket(ctx, &ticketv1.GetTicketRequest{Ballot: ballot})
	})
	if err != nil {
		refused := refusal(err)
		switch refused.Code {
		case statusv1.Code_CODE_TICKET_EXPIRED:
			refused.Text = answer.NoTicket
		case statusv1.Code_CODE_INVALID_ARGUMENT:
			refused.Text = answer.BallotFormat
		}
		return nil, refused
	}
	ticket := response.GetTicket()
	if ticket.GetValue() == "" {
		return nil, answer.RefusalOf(errors.New("the ticket-service sent no ticket"))
	}
	return &model.Ticket{
		Value:           ticket.GetValue(),
		Version:         ticket.GetVersion(),
		RemainingUsages: int32(min(max(ticket.GetRemainingUses(), 0), math.MaxInt32)),
		ExpiresAt:       FormatTime(ticket.GetExpiresAt().AsTime()),
		CreatedAt:       FormatTime(ticket.GetCreatedAt().AsTime()),
	}, nil
}

// FormatTime writes a time as clients see it.
func FormatTime(t time.Time) string { return t.UTC().Format(TimeFormat) }
