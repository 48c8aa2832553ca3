// Command gateway is where clients vote.
package main

import (
	"context"
	"log/slog"

	"github.com/littlevote/littlevote/gateway"
	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/service"
)

func main() {
	cfg := gateway.DefaultConfig()
	config.Main("gateway", []any{&cfg}, func(ctx context.Context, log *slog.Logger) error {
		watched := service.Watched{Admin: cfg.Admin, Trace: cfg.Trace}
		return service.Process(ctx, "gateway", watched, log, func(host service.Host) (service.Runner, error) {
			return gateway.New(ctx, cfg, host)
		})
	})
}
