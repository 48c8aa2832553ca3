// Package ops is the operator's part of the command line: it works on the stores themselves.
package ops

import (
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/pgledger"
	blogservice "github.com/littlevote/littlevote/services/blog-service"
	"github.com/littlevote/littlevote/tools/littlevote/internal/reach"
)

// MigrateCommand is `littlevote migrate`.
func MigrateCommand() *cobra.Command {
	var s reach.Stores
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the Postgres schema up to date",
		Long:  "Runs the migrations that are missing, the ledger's and the blog's, under locks: any number of processes may do it at the same time.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.Find(); err != nil {
				return err
			}
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			if err := pgledger.Migrate(cmd.Context(), s.PostgresURL, log); err != nil {
				return err
			}
			if err := blogservice.Migrate(cmd.Context(), config.Postgres{URL: s.PostgresURL, PoolSize: 1}, log); err != nil {
				return err
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "the schema is up to date")
			return err
		},
	}
	s.Flags(cmd)
	return cmd
}
