package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"github.com/littlevote/littlevote/libs/config"
)

// Host is what a process gives to each service that runs in it.
type Host struct {
	Log    *slog.Logger
	Health *Health
	Meter  metric.Meter
	Tracer trace.Tracer // of what begins here; what goes on here is traced with package tracing
}

// Watched is where a process can be seen into.
type Watched struct {
	Admin config.Admin
	Trace config.Trace
}

// Runner is a service that listens already and serves until ctx ends.
type Runner interface {
	Addr() string // host:port it serves
	Run(ctx context.Context) error
}

// Process is the life of a service that has a process to itself: the service and its admin port, until ctx ends or one
// of them fails. The admin port ends last, so that probes and metrics can watch the service drain.
func Process(ctx context.Context, name string, at Watched, log *slog.Logger, start func(Host) (Runner, error)) error {
	TuneGarbage()
	meter, registry, err := NewMeter(name)
	if err != nil {
		return err
	}
	tracer, endTraces, err := NewTracer(name, at.Trace, meter, log)
	if err != nil {
		return err
	}
	defer func() { _ = endTraces(context.WithoutCancel(ctx)) }() // Spans that nobody takes are no failure.
	host := Host{Log: log, Health: NewHealth(), Meter: meter, Tracer: tracer}
	if err := host.Health.Observe(meter); err != nil {
		return err
	}
	runner, err := start(host)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	admin, err := NewAdmin(at.Admin.Listen, host.Health, registry)
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
