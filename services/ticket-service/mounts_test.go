package ticketservice

import (
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/service/servicetest"
	"github.com/littlevote/littlevote/proto/gen/littlevote/ticket/v1/ticketv1connect"
)

// TestCallers tries every procedure as every kind of process: who gets through is written down here once more.
func TestCallers(t *testing.T) {
	host := service.Host{Log: slog.New(slog.DiscardHandler)}
	got := servicetest.Callers(t, mounts(ticketv1connect.UnimplementedTicketServiceHandler{}, host))
	want := map[string][]service.Kind{"TicketService/GetTicket": {service.Gateway}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("who may call what (-want +got):\n%s", diff)
	}
}
