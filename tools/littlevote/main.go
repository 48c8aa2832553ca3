// Command littlevote is the whole system in one process, and the operator's command.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/tools/internal/deps"
	"github.com/littlevote/littlevote/tools/littlevote/internal/ballot"
	"github.com/littlevote/littlevote/tools/littlevote/internal/certs"
	"github.com/littlevote/littlevote/tools/littlevote/internal/client"
	"github.com/littlevote/littlevote/tools/littlevote/internal/dbmove"
	"github.com/littlevote/littlevote/tools/littlevote/internal/dlq"
	"github.com/littlevote/littlevote/tools/littlevote/internal/doctor"
	"github.com/littlevote/littlevote/tools/littlevote/internal/epochs"
	"github.com/littlevote/littlevote/tools/littlevote/internal/offsets"
	"github.com/littlevote/littlevote/tools/littlevote/internal/ops"
	"github.com/littlevote/littlevote/tools/littlevote/internal/probe"
	"github.com/littlevote/littlevote/tools/littlevote/internal/token"
	"github.com/littlevote/littlevote/tools/littlevote/internal/up"
)

// Exit codes.
const (
	exitFailed = 1 // also: fsck found something wrong, a vote was refused, doctor has warnings
	exitUsage  = 2 // also: fsck could not look, doctor found something broken
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills
	os.Exit(run(ctx))
}

func run(ctx context.Context) int {
	root := &cobra.Command{
		Use:   "littlevote",
		Short: "Ticket-gated voting at scale",
		Long: `Ticket-gated voting at scale: every acknowledged vote counts, exactly once.

  littlevote up            the whole system in one process, nothing else installed
  littlevote vote A B      vote for A and B
  littlevote results       see the counts`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(
		up.Command(), client.TicketCommand(), client.VoteCommand(), client.ResultsCommand(), token.Command(), certs.Command(), ballot.Command(),
		ops.MigrateCommand(), ops.FsckCommand(), ops.RestoredCommand(), doctor.Command(), dlq.Command(), epochs.Command(), offsets.Command(), dbmove.Command(), deps.Command(), probe.Command(), versionCommand(),
	)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if !errors.Is(err, ops.ErrWrong) && !errors.Is(err, client.ErrRefused) && !errors.Is(err, doctor.ErrWarnings) && !errors.Is(err, doctor.ErrBroken) {
		fmt.Fprintln(os.Stderr, "littlevote:", err)
	}
	var keyed *config.KeyError
	if errors.As(err, &usageError{}) || errors.As(err, &keyed) || errors.Is(err, ops.ErrNoLook) || errors.Is(err, doctor.ErrBroken) {
		return exitUsage
	}
	return exitFailed
}

// usageError is a mistake in the command line.
type usageError struct{ error }

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			revision := cmp.Or(service.Revision(), "unknown revision")
			fmt.Fprintf(cmd.OutOrStdout(), "littlevote %s (%s, %s)\n", service.Version(), revision, runtime.Version())
		},
	}
}
