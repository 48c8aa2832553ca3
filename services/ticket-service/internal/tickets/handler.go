package tickets

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"regexp"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/littlevote/littlevote/libs/groupcommit"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/service"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	ticketv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ticket/v1"
	"github.com/littlevote/littlevote/services/ticket-service/internal/ballots"
)

const (
	defaultBallot = "main"
	// unlimited stands for the uses left of a ticket without a cap: the greatest Int of GraphQL.
	unlimited = math.MaxInt32
	// retryAfter is for what heals by itself and soon.
	retryAfter = 100 * time.Millisecond
)

// Ballots knows the ballots; see ballots.Directory.
type Ballots interface {
	Get(name string) (ballots.Ballot, bool)
	Ask(ctx context.Context, name string) (ballots.Ballot, bool, error)
	Ready(ctx context.Context) error
}

// Handler implements littlevote.ticket.v1.TicketService.
type Handler struct {
	reader  *Reader
	ballots Ballots
	name    *regexp.Regexp
	log     *slog.Logger
}

// NewHandler returns the handler.
func NewHandler(reader *Reader, known Ballots, log *slog.Logger) *Handler {
	return &Handler{reader: reader, ballots: known, name: regexp.MustCompile(`^([a-z0-9-]{1,32}\.)?[a-z0-9-]{1,64}$`), log: log}
}

// GetTicket implements the RPC as ticket.proto documents it.
func (h *Handler) GetTicket(ctx context.Context, req *ticketv1.GetTicketRequest) (*ticketv1.GetTicketResponse, error) {
	name := req.GetBallot()
	if name == "" {
		name = defaultBallot
	}
	if !h.name.MatchString(name) {
		return nil, refuse(connect.CodeInvalidArgument, statusv1.Code_CODE_INVALID_ARGUMENT,
			"ballot: expected 1 to 64 of a-z, 0-9 and -, and before that a tenant's name and a dot where it has one")
	}
	ballot, err := h.find(ctx, name)
	if err != nil {
		return nil, err
	}
	if ballot.Ticketless {
		return nil, refuse(connect.CodeFailedPrecondition, statusv1.Code_CODE_FAILED_PRECONDITION, "the ballot has no tickets")
	}
	state, err := h.reader.Get(ctx, name)
	if err != nil {
		return nil, h.unread(ctx, name, err)
	}
	if !state.Usable() && !ballot.TakesVotes(state.Now) {
		// It may have been opened a moment ago. While that can't be told, it is as it was.
		if now, ok, err := h.ballots.Ask(ctx, name); ok && err == nil {
			ballot = now
		}
	}
	return answerFor(ballot, state, req.GetExhaustedToo())
}

// find returns a ballot; one that is not known here may have been made a moment ago.
func (h *Handler) find(ctx context.Context, name string) (ballots.Ballot, error) {
	if ballot, ok := h.ballots.Get(name); ok {
		return ballot, nil
	}
	if err := h.ballots.Ready(ctx); err != nil {
		return ballots.Ballot{}, retry(connect.CodeUnavailable, statusv1.Code_CODE_UNAVAILABLE, retryAfter, "not ready yet")
	}
	ballot, ok, err := h.ballots.Ask(ctx, name)
	switch {
	case err != nil:
		h.log.DebugContext(ctx, "a ballot could not be looked up", "ballot", name, "error", err)
		return ballot, retry(connect.CodeUnavailable, statusv1.Code_CODE_UNAVAILABLE, retryAfter, "the ballot cannot be looked up now")
	case !ok:
		return ballot, refuse(connect.CodeNotFound, statusv1.Code_CODE_BALLOT_NOT_FOUND, "there is no such ballot")
	}
	return ballot, nil
}

func answerFor(ballot ballots.Ballot, state redisledger.TicketState, exhaustedToo bool) (*ticketv1.GetTicketResponse, error) {
	switch {
	case state.Usable():
	case !ballot.TakesVotes(state.Now):
		return nil, refuse(connect.CodeFailedPrecondition, statusv1.Code_CODE_BALLOT_CLOSED, "the ballot takes no votes")
	default:
		return nil, retry(connect.CodeUnavailable, statusv1.Code_CODE_TICKET_EXPIRED, retryAfter, "no ticket is current")
	}
	t := state.Newest
	remaining := t.Left
	switch {
	case t.Cap == redisledger.NoCap:
		remaining = unlimited
	case remaining <= 0 && exhaustedToo:
		remaining = 0
	case remaining <= 0:
		return nil, retry(connect.CodeResourceExhausted, statusv1.Code_CODE_TICKET_EXHAUSTED,
			t.ExpiresAt.Sub(state.Now), "all uses of the ticket are taken")
	}
	return &ticketv1.GetTicketResponse{Ticket: &ticketv1.Ticket{
		Ballot:        ballot.Name,
		Value:         t.Value,
		Version:       t.Version,
		RemainingUses: remaining,
		CreatedAt:     timestamppb.New(t.CreatedAt),
		ExpiresAt:     timestamppb.New(t.ExpiresAt),
	}}, nil
}

// unread is the answer when there was no answer from the ledger.
func (h *Handler) unread(ctx context.Context, ballot string, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, groupcommit.ErrFull):
		return retry(connect.CodeResourceExhausted, statusv1.Code_CODE_OVERLOADED, retryAfter, "too many wait for a ticket")
	case errors.Is(err, groupcommit.ErrClosed):
		return retry(connect.CodeUnavailable, statusv1.Code_CODE_UNAVAILABLE, 0, "this replica stops")
	}
	h.log.DebugContext(ctx, "no ticket could be read", "ballot", ballot, "error", err)
	return retry(connect.CodeUnavailable, statusv1.Code_CODE_UNAVAILABLE, retryAfter, "the ledger is away")
}

func refuse(code connect.Code, reason statusv1.Code, text string) error {
	return service.Error(code, &statusv1.ErrorDetail{Code: reason, Outcome: statusv1.Outcome_OUTCOME_NONE}, "%s", text)
}

// retry is a refusal that may be over after a time; 0 means at once.
func retry(code connect.Code, reason statusv1.Code, after time.Duration, text string) error {
	detail := &statusv1.ErrorDetail{Code: reason, Outcome: statusv1.Outcome_OUTCOME_NONE, Retryable: true}
	if after > 0 {
		detail.RetryAfter = durationpb.New(after)
	}
	return service.Error(code, detail, "%s", text)
}
