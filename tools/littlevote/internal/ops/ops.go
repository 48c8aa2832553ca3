// Package ops is the operator's part of the command line: it works on the stores themselves.
package ops

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/pgledger"
)

// AddressFile is what `up` writes into its data directory: its name=address lines.
const AddressFile = "addresses"

// stores says where Postgres and Redis are: by flags, or as a running `up` says it.
type stores struct {
	dataDir     string
	redisURL    string
	postgresURL string
}

func (s *stores) flags(cmd *cobra.Command, redis bool) {
	cmd.Flags().StringVar(&s.dataDir, "data-dir", ".littlevote", "data directory of a running `up`, which says where its stores are")
	cmd.Flags().StringVar(&s.postgresURL, "postgres-url", os.Getenv("LITTLEVOTE_POSTGRES_URL"), "postgres://… of the primary; else LITTLEVOTE_POSTGRES_URL, else as --data-dir says")
	if redis {
		cmd.Flags().StringVar(&s.redisURL, "redis-url", os.Getenv("LITTLEVOTE_REDIS_URL"), "redis://…; else LITTLEVOTE_REDIS_URL, else as --data-dir says")
	}
}

// find fills in what the flags leave open.
func (s *stores) find() error {
	file, err := os.Open(filepath.Join(s.dataDir, AddressFile))
	if errors.Is(err, fs.ErrNotExist) {
		return config.Required("--postgres-url", s.postgresURL)
	}
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		name, address, _ := strings.Cut(lines.Text(), "=")
		switch {
		case name == "postgres" && s.postgresURL == "":
			s.postgresURL = address
		case name == "redis" && s.redisURL == "":
			s.redisURL = address
		}
	}
	return errors.Join(lines.Err(), config.Required("--postgres-url", s.postgresURL))
}

// MigrateCommand is `littlevote migrate`.
func MigrateCommand() *cobra.Command {
	var s stores
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the Postgres schema up to date",
		Long:  "Runs the migrations that are missing, under a lock: any number of processes may do it at the same time.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.find(); err != nil {
				return err
			}
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			if err := pgledger.Migrate(cmd.Context(), s.postgresURL, log); err != nil {
				return err
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "the schema is up to date")
			return err
		},
	}
	s.flags(cmd, false)
	return cmd
}
