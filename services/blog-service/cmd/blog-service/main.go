// Command blog-service has people, what they write, and what they like.
package main

import (
	"context"
	"log/slog"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/service"

	blogservice "github.com/littlevote/littlevote/services/blog-service"
)

func main() {
	cfg := blogservice.DefaultConfig()
	config.Main("blog-service", []any{&cfg}, func(ctx context.Context, log *slog.Logger) error {
		watched := service.Watched{Admin: cfg.Admin, Trace: cfg.Trace}
		return service.Process(ctx, "blog-service", watched, log, func(host service.Host) (service.Runner, error) {
			return blogservice.New(ctx, cfg, host)
		})
	})
}
