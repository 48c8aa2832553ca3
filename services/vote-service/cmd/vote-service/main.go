// Command vote-service decides votes.
package main

import (
	"context"
	"log/slog"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/service"

	voteservice "github.com/littlevote/littlevote/services/vote-service"
)

func main() {
	cfg := voteservice.DefaultConfig()
	config.Main("vote-service", []any{&cfg}, func(ctx context.Context, log *slog.Logger) error {
		watched := service.Watched{Admin: cfg.Admin, Trace: cfg.Trace}
		return service.Process(ctx, "vote-service", watched, log, func(host service.Host) (service.Runner, error) {
			return voteservice.New(ctx, cfg, host)
		})
	})
}
