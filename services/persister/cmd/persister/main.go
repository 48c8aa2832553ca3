// Command persister moves the votes from Kafka into the ledger in Postgres.
package main

import (
	"context"
	"log/slog"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/service"

	"github.com/littlevote/littlevote/services/persister"
)

func main() {
	cfg := persister.DefaultConfig()
	config.Main("persister", []any{&cfg}, func(ctx context.Context, log *slog.Logger) error {
		watched := service.Watched{Admin: cfg.Admin, Trace: cfg.Trace}
		return service.Process(ctx, "persister", watched, log, func(host service.Host) (service.Runner, error) {
			return persister.New(ctx, cfg, host)
		})
	})
}
