package ticketservice

import (
	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/proto/gen/littlevote/ticket/v1/ticketv1connect"
)

// mounts is the RPC service, and who may call it.
func mounts(handler ticketv1connect.TicketServiceHandler, host service.Host) []service.Mount {
	path, mounted := ticketv1connect.NewTicketServiceHandler(handler, service.HandlerOptions(host)...)
	return []service.Mount{{
		Name: ticketv1connect.TicketServiceName, Path: path, Handler: mounted,
		Callers: service.Callers{"GetTicket": {service.Gateway}},
	}}
}
