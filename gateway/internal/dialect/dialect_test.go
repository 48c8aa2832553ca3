package dialect

import (
	"context"
	"testing"

	"google.golang.org/grpc"

	ticketv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ticket/v1"
)

// asked keeps the last request.
type asked struct{ request *ticketv1.GetTicketRequest }

func (a *asked) GetTicket(
	_ context.Context, request *ticketv1.GetTicketRequest, _ ...grpc.CallOption,
) (*ticketv1.GetTicketResponse, error) {
	a.request = request
	return &ticketv1.GetTicketResponse{}, nil
}

// S36: remainingUsage is what is left, 0 where that is nothing, so these tickets are asked for too.
func TestS36TicketsThatAreUsedUpAreAskedFor(t *testing.T) {
	service := &asked{}
	if _, err := (ExhaustedToo{service}).GetTicket(t.Context(), &ticketv1.GetTicketRequest{Ballot: "cast"}); err != nil {
		t.Fatal(err)
	}
	if service.request.GetBallot() != "cast" || !service.request.GetExhaustedToo() {
		t.Errorf("asked for %v", service.request)
	}
}
