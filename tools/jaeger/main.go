package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"
)

const (
	exitFound   = 0
	exitMissing = 1
	exitUsage   = 2
	exitNotRun  = 3
)

// settings is the command line.
type settings struct {
	json bool
	keep bool
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	s, err := parse(args, stderr)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return exitFound
	case err != nil:
		fmt.Fprintf(stderr, "jaeger: %v\n", err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	found, err := show(ctx, s, stdout, stderr)
	if err != nil {
		fmt.Fprintf(stderr, "jaeger: %v\n", err)
	}
	switch {
	case err != nil && found == nil:
		return exitNotRun
	case err != nil || found.Problem != "":
		return exitMissing
	default:
		return exitFound
	}
}

// parse reads the flags. pflag.ErrHelp means that help was asked for and given.
func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	flags := pflag.NewFlagSet("jaeger", pflag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are printed once, by the caller
	flags.SortFlags = false
	flags.BoolVar(&s.json, "json", false, "write what was found as JSON instead of a tree")
	flags.BoolVar(&s.keep, "keep", false, "leave Jaeger and the system running until Ctrl-C")
	if err := flags.Parse(args); errors.Is(err, pflag.ErrHelp) {
		fmt.Fprintf(stderr, `Shows one vote in a real Jaeger, from the gateway to the rows in the ledger: builds Jaeger (the first time takes some minutes),
starts it and a whole system on the loopback, votes, and looks for the way of the vote in Jaeger's query API.
Exits with 0 if all of it is there, with 1 if something is missing. Flags:
%s`, flags.FlagUsages())
		return s, err
	} else if err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("expected flags only, got %q", flags.Arg(0))
	}
	return s, nil
}
