// Command query-service reads counts.
package main

import (
	"context"
	"log/slog"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/service"

	queryservice "github.com/littlevote/littlevote/services/query-service"
)

func main() {
	cfg := queryservice.DefaultConfig()
	config.Main("query-service", []any{&cfg}, func(ctx context.Context, log *slog.Logger) error {
		watched := service.Watched{Admin: cfg.Admin, Trace: cfg.Trace}
		return service.Process(ctx, "query-service", watched, log, func(host service.Host) (service.Runner, error) {
			return queryservice.New(ctx, cfg, host)
		})
	})
}
