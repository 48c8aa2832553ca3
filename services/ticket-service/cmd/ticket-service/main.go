// Command ticket-service mints tickets and hands them out.
package main

import (
	"context"
	"log/slog"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/service"

	ticketservice "github.com/littlevote/littlevote/services/ticket-service"
)

func main() {
	cfg := ticketservice.DefaultConfig()
	config.Main("ticket-service", []any{&cfg}, func(ctx context.Context, log *slog.Logger) error {
		watched := service.Watched{Admin: cfg.Admin, Trace: cfg.Trace}
		return service.Process(ctx, "ticket-service", watched, log, func(host service.Host) (service.Runner, error) {
			return ticketservice.New(ctx, cfg, host)
		})
	})
}
