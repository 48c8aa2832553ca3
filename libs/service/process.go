package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"go.opentelemetry.io/otel/metric"
	"golang.org/x/sync/errgroup"
)

// Host is what a process gives to each service that runs in it.
type Host struct {
	Log    *slog.Logger
	Health *Health
	Meter  metric.Meter
}

// Runner is a service that listens already and serves until ctx ends.
type Runner interface {
	Addr() string // host:port it serves
	Run(ctx context.Context) error
}

// Process is the life of a service that has a process to itself: the service and its admin port, until ctx ends or one
// of them fails. The admin port ends last, so that probes and metrics can watch the service drain.
func Process(ctx context.Context, name, adminListen string, log *slog.Logger, start func(Host) (Runner, error)) error {
	TuneGarbage()
	meter, registry, err := NewMeter(name)
	if err != nil {
		return err
	}
	host := Host{Log: log, Health: NewHealth(), Meter: meter}
	runner, err := start(host)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	admin, err := NewAdmin(adminListen, host.Health, registry)
	if err != nil {
		return errors.Join(fmt.Errorf("admin port: %w", err), stop(ctx, runner))
	}
	log.InfoContext(ctx, "listening", "address", runner.Addr(), "admin", admin.Addr())
	group, ctx := errgroup.WithContext(ctx)
	defer context.AfterFunc(ctx, host.Health.Drain)()
	watching, ended := context.WithCancel(context.WithoutCancel(ctx))
	group.Go(func() error { return admin.Run(watching) })
	group.Go(func() error {
		defer ended()
		return runner.Run(ctx)
	})
	return group.Wait()
}

// stop runs a service to its end at once, so that it gives back what it holds.
func stop(ctx context.Context, runner Runner) error {
	ended, cancel := context.WithCancel(ctx)
	cancel()
	return runner.Run(ended)
}
