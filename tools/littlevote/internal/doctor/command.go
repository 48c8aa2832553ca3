package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/littlevote/littlevote/libs/config"
)

var (
	// ErrWarnings says that the report was printed, and has warnings.
	ErrWarnings = errors.New("doctor has warnings")
	// ErrBroken says that the report was printed, and that something is broken.
	ErrBroken = errors.New("doctor found something broken")
)

// Command is `littlevote doctor`.
func Command() *cobra.Command {
	s, asJSON := defaults(), false
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Examine a deployment: what is wrong, why it matters, how to mend it",
		Long: `Looks at the stores and the processes of a deployment, with the settings of its services: the same file (--config), variables and
flags. Without any it looks at the ` + "`up`" + ` of --data-dir. Nothing is changed. What is not named is not looked at.

For each finding it says what it is, why it matters (with the promises G1 to G13 that depend on it) and how to mend it.

Where the services' ports ask for certificates, it needs one of kind operator (tls.cert-file).

Exits with 0 if all is well (notes included), 1 if there are warnings, 2 if something is broken, does not answer, or the settings are wrong.`,
		Args: cobra.NoArgs,
	}
	loader, err := config.Bind(cmd.Flags(), s)
	s.flags(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err != nil {
			return err
		}
		if err := loader.Load(os.Environ()); err != nil {
			return &config.KeyError{Key: "settings", Problem: "\n" + err.Error()}
		}
		if loader.PrintOnly() {
			return loader.Print(cmd.OutOrStdout())
		}
		if err := s.find(); err != nil {
			return err
		}
		if s.nothing() {
			return &config.KeyError{Key: "settings", Problem: "there is nothing to look at: name a settings file with --config, stores with --postgres-url and so on, or the --data-dir of a running up"}
		}
		found := Examine(cmd.Context(), s, time.Now)
		if err := printAll(cmd.OutOrStdout(), found, asJSON, onTerminal(cmd.OutOrStdout())); err != nil {
			return err
		}
		return verdict(found)
	}
	return cmd
}

func verdict(found []Finding) error {
	switch worst(found) {
	case Broken:
		return ErrBroken
	case Warning:
		return ErrWarnings
	case OK, Note:
	}
	return nil
}

// areas are examined at the same time.
func areas() []func(context.Context, *settings, func() time.Time) []Finding {
	return []func(context.Context, *settings, func() time.Time) []Finding{
		examineRedis, examineKafka, examinePostgres, examineReplica, examineLedger, examineClocks, examineFiles, examineDoors, examineProcesses,
	}
}

// report is the JSON form.
type report struct {
	Level    Level     `json:"level"`
	Findings []Finding `json:"findings"`
}

func printAll(w io.Writer, found []Finding, asJSON, colour bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(report{worst(found), found})
	}
	return printText(w, found, colour)
}
