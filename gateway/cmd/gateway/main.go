// Command gateway is where clients vote.
package main

import (
	"context"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/littlevote/littlevote/gateway"
	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/service"
)

// garbagePercent is how much garbage may stand beside what is in use before it is collected: requests leave a lot of the one and keep
// little of the other, so that at Go's 100 the collector takes a third of the time. GOGC goes before it.
const garbagePercent = 400

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
	cfg := gateway.DefaultConfig()
	config.Main("gateway", []any{&cfg}, func(ctx context.Context, log *slog.Logger) error {
		return service.Process(ctx, "gateway", cfg.Admin.Listen, log, func(host service.Host) (service.Runner, error) {
			return gateway.New(ctx, cfg, host)
		})
	})
}
