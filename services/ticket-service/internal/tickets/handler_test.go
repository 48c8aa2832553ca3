package tickets

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/service"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	ticketv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ticket/v1"
	"github.com/littlevote/littlevote/services/ticket-service/internal/ballots"
	"github.com/littlevote/littlevote/services/ticket-service/internal/ledger"
)

// fixed is a ledger with one answer.
type fixed struct {
	state redisledger.TicketState
	err   error
}

func (f fixed) Ticket(context.Context, string) (epoch.Ledger, redisledger.TicketState, error) {
	return epoch.Ledger{}, f.state, f.err
}

// directory knows "main", "cast" and "acme.likes", which has no tickets, and the ballots "paused" and "over", which take no votes; or nothing yet.
// Postgres has more, unless it is away: "new", and "opened", which is here as it was before.
type directory struct{ empty, away bool }

func (d directory) Get(name string) (ballots.Ballot, bool) {
	b, ok := map[string]ballots.Ballot{
		"main":   {Name: "main", Open: true, ClosesAt: now.Add(1)},
		"cast":   {Name: "cast", Open: true},
		"paused": {Name: "paused"},
		"over":   {Name: "over", Open: true, ClosesAt: now},
		"opened": {Name: "opened"},

		"acme.likes": {Name: "acme.likes", Ticketless: true},
	}[name]
	return b, ok && !d.empty
}

func (d directory) Ask(_ context.Context, name string) (ballots.Ballot, bool, error) {
	if d.away {
		return ballots.Ballot{}, false, errors.New("away")
	}
	b, ok := d.Get(name)
	if name == "new" || name == "opened" {
		b, ok = ballots.Ballot{Name: name, Open: true}, true
	}
	return b, ok, nil
}

func (d directory) Ready(context.Context) error {
	if d.empty {
		return errors.New("not read")
	}
	return nil
}

func get(t *testing.T, l Ledger, d directory, ballot string) (*ticketv1.Ticket, error) {
	t.Helper()
	r := NewReader(l)
	defer r.Close(t.Context())
	h := NewHandler(r, d, slog.New(slog.DiscardHandler))
	response, err := h.GetTicket(t.Context(), &ticketv1.GetTicketRequest{Ballot: ballot})
	return response.GetTicket(), err
}

var now = time.UnixMilli(1_795_228_800_123)

func current() redisledger.TicketState {
	return redisledger.TicketState{Now: now, LastNumber: 2, Newest: &redisledger.Ticket{
		Value: "value", Version: "3.1.2", Cap: 100, Left: 7,
		CreatedAt: now.Add(-time.Second), ExpiresAt: now.Add(700 * time.Millisecond),
	}}
}

func TestS4NewestUsableTicket(t *testing.T) {
	unlimited := current()
	unlimited.Newest.Cap, unlimited.Newest.Left = redisledger.NoCap, redisledger.NoCap
	for _, c := range []struct {
		ballot, named string
		state         redisledger.TicketState
		remaining     int64
	}{
		{"", "main", current(), 7},
		{"cast", "cast", current(), 7},
		{"main", "main", unlimited, 2147483647},
	} {
		got, err := get(t, fixed{state: c.state}, directory{}, c.ballot)
		if err != nil {
			t.Fatal(err)
		}
		want := &ticketv1.Ticket{
			Ballot: c.named, Value: "value", Version: "3.1.2", RemainingUses: c.remaining,
			CreatedAt: timestamppb.New(now.Add(-time.Second)), ExpiresAt: timestamppb.New(now.Add(700 * time.Millisecond)),
		}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
	}
}

// Some clients want to see the ticket of now whatever is left of it.
func TestS36AnExhaustedTicketForWhoAsks(t *testing.T) {
	state := current()
	state.Newest.Left = 0
	r := NewReader(fixed{state: state})
	defer r.Close(t.Context())
	h := NewHandler(r, directory{}, slog.New(slog.DiscardHandler))
	got, err := h.GetTicket(t.Context(), &ticketv1.GetTicketRequest{Ballot: "cast", ExhaustedToo: true})
	if err != nil || got.GetTicket().GetValue() != "value" || got.GetTicket().GetRemainingUses() != 0 {
		t.Errorf("%v %v", got, err)
	}
}

func TestRefusals(t *testing.T) {
	exhausted, over, never := current(), current(), redisledger.TicketState{Now: now}
	exhausted.Newest.Left = 0
	over.Newest.ExpiresAt = now // the first moment at which it is no longer valid
	after := durationpb.New(retryAfter)
	unavailable := &statusv1.ErrorDetail{Code: statusv1.Code_CODE_UNAVAILABLE, Retryable: true, RetryAfter: after}
	expired := &statusv1.ErrorDetail{Code: statusv1.Code_CODE_TICKET_EXPIRED, Retryable: true, RetryAfter: after}
	closed := &statusv1.ErrorDetail{Code: statusv1.Code_CODE_BALLOT_CLOSED}
	malformed := &statusv1.ErrorDetail{Code: statusv1.Code_CODE_INVALID_ARGUMENT}
	for name, c := range map[string]struct {
		ballot string
		ledger Ledger
		known  directory
		code   connect.Code
		detail *statusv1.ErrorDetail
	}{
		"upper case":  {ballot: "Main", code: connect.CodeInvalidArgument, detail: malformed},
		"line break":  {ballot: "main\n", code: connect.CodeInvalidArgument, detail: malformed},
		"no tenant":   {ballot: ".cup", code: connect.CodeInvalidArgument, detail: malformed},
		"two dots":    {ballot: "acme.world.cup", code: connect.CodeInvalidArgument, detail: malformed},
		"ticketless":  {ballot: "acme.likes", code: connect.CodeFailedPrecondition, detail: &statusv1.ErrorDetail{Code: statusv1.Code_CODE_FAILED_PRECONDITION}},
		"65 letters":  {ballot: strings.Repeat("a", 65), code: connect.CodeInvalidArgument, detail: malformed},
		"unknown":     {ballot: "none", code: connect.CodeNotFound, detail: &statusv1.ErrorDetail{Code: statusv1.Code_CODE_BALLOT_NOT_FOUND}},
		"start":       {known: directory{empty: true}, code: connect.CodeUnavailable, detail: unavailable},
		"other epoch": {ledger: fixed{err: ledger.ErrOver}, code: connect.CodeUnavailable, detail: unavailable},
		"new":         {ballot: "new", ledger: fixed{state: never}, code: connect.CodeUnavailable, detail: expired},
		"opened":      {ballot: "opened", ledger: fixed{state: never}, code: connect.CodeUnavailable, detail: expired},
		"new?":        {ballot: "new", known: directory{away: true}, code: connect.CodeUnavailable, detail: unavailable},
		"opened?":     {ballot: "opened", known: directory{away: true}, ledger: fixed{state: never}, code: connect.CodeFailedPrecondition, detail: closed},
		"paused":      {ballot: "paused", ledger: fixed{state: never}, code: connect.CodeFailedPrecondition, detail: closed},
		"over":        {ballot: "over", ledger: fixed{state: over}, code: connect.CodeFailedPrecondition, detail: closed},
		"Redis away":  {ledger: fixed{err: errors.New("dial tcp 10.0.0.1: refused")}, code: connect.CodeUnavailable, detail: unavailable},
		"no ticket":   {ledger: fixed{state: never}, code: connect.CodeUnavailable, detail: expired},
		"S75 expired": {ledger: fixed{state: over}, code: connect.CodeUnavailable, detail: expired},
		"S4 exhausted": {
			ledger: fixed{state: exhausted}, code: connect.CodeResourceExhausted, detail: &statusv1.ErrorDetail{
				Code: statusv1.Code_CODE_TICKET_EXHAUSTED, Retryable: true, RetryAfter: durationpb.New(700 * time.Millisecond),
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if c.ledger == nil {
				c.ledger = fixed{state: current()}
			}
			got, err := get(t, c.ledger, c.known, c.ballot)
			if got != nil || connect.CodeOf(err) != c.code {
				t.Fatalf("%v, %v; want %v", got, err, c.code)
			}
			detail, _ := service.Detail(err)
			c.detail.Outcome = statusv1.Outcome_OUTCOME_NONE
			if diff := cmp.Diff(c.detail, detail, protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
			if strings.Contains(err.Error(), "10.0.0.1") {
				t.Errorf("tells the client of our insides: %v", err)
			}
		})
	}
}
