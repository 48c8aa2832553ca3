package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// errFailed says that a run has failed, which was printed.
var errFailed = errors.New("not all promises were kept")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command().ExecuteContext(ctx)
	interrupted := ctx.Err() != nil
	stop()
	switch {
	case interrupted:
		fmt.Fprintln(os.Stderr, "stopped")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:           "faults",
		Short:         "Show that the system keeps its promises while its parts die, hang, forget, lag and come back",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
	}
	flags := cmd.PersistentFlags()
	flags.StringVar(&o.dir, "dir", ".data/faults", "where servers, results and evidence are kept")
	flags.StringVar(&o.cache, "cache-dir", "", "where Kafka's jars are kept (default <dir>/kafka)")
	flags.IntVar(&o.seeds, "seeds", 0, "how many seeds of each fault (default 20 of each kill, cut, flush and failover, 5 of others)")
	flags.Uint64Var(&o.seed, "seed", 0, "the one seed to run, or the first one")
	flags.DurationVar(&o.duration, "duration", 0, "stop after this time; 0 is no bound")
	flags.Float64Var(&o.patience, "patience", 1, "stretches every limit on time, for a machine that does much else")
	flags.BoolVar(&o.json, "json", false, "print runs as JSON")
	flags.BoolVar(&o.again, "again", false, "run also what has a result at this commit")
	flags.BoolVar(&o.keep, "keep", false, "keep the evidence of runs that passed, too")
	flags.BoolVarP(&o.verbose, "verbose", "v", false, "print what goes on in each run")
	cmd.AddCommand(listCommand(&o), runCommand(&o), allCommand(&o), ciCommand(&o), mutantsCommand(&o), soakCommand(&o), reportCommand(&o))
	return cmd
}
