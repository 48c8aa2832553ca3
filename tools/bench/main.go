package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/littlevote/littlevote/tools/bench/internal/floor"
	"github.com/littlevote/littlevote/tools/bench/internal/report"
)

const (
	exitGood     = 0
	exitCounts   = 1 // the counts are wrong
	exitUsage    = 2
	exitNotRun   = 3 // the benchmark could not be run, or measured nothing
	floorCommand = "floor"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	soft, hard, stop := interruptible()
	defer stop()
	if len(args) > 0 && args[0] == floorCommand {
		return serveFloor(soft, stdout, stderr)
	}
	settings, err := parse(soft, args, stderr)
	if errors.Is(err, pflag.ErrHelp) {
		return exitGood
	}
	if err != nil {
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return exitUsage
	}
	command := strings.Join(append([]string{"bench"}, hideSecrets(args)...), " ")
	found, err := benchmark(soft, hard, settings, command, stderr)
	if found != nil {
		write := found.WriteTable
		if settings.json {
			write = found.WriteJSON
		}
		err = errors.Join(err, write(stdout))
	}
	if err != nil {
		fmt.Fprintf(stderr, "bench: %v\n", err)
	}
	return exitCode(found, err)
}

// exitCode says first of all whether counts were wrong, whatever else happened.
func exitCode(found *report.Report, err error) int {
	switch {
	case errors.Is(err, errCounts), found != nil && !found.Verified:
		return exitCounts
	case err != nil:
		return exitNotRun
	default:
		return exitGood
	}
}

// interruptible gives two contexts: the first signal ends the load, the second everything, the third the process.
func interruptible() (soft, hard context.Context, stop func()) {
	soft, endLoad := context.WithCancel(context.Background())
	hard, endAll := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	finished := make(chan struct{})
	go func() {
		for _, end := range []func(){endLoad, func() { endAll(); signal.Stop(signals) }} {
			select {
			case <-signals:
				end()
			case <-finished:
				return
			}
		}
	}()
	return soft, hard, func() {
		signal.Stop(signals)
		close(finished)
		endLoad()
		endAll()
	}
}

// serveFloor is the hidden command that runs the floor as a process of its own.
func serveFloor(ctx context.Context, stdout, stderr io.Writer) int {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintf(stderr, "bench: the floor: %v\n", err)
		return exitNotRun
	}
	fmt.Fprintf(stdout, "graphql=http://%s/graphql\nready\n", listener.Addr())
	if err := floor.Serve(ctx, listener); err != nil {
		fmt.Fprintf(stderr, "bench: the floor: %v\n", err)
		return exitNotRun
	}
	return exitGood
}
