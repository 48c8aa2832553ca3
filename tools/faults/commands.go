package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/littlevote/littlevote/tools/faults/internal/results"
	"github.com/littlevote/littlevote/tools/faults/internal/rows"
)

// bind gives the options the command's streams.
func (o *options) bind(cmd *cobra.Command) { o.stdout, o.stderr = cmd.OutOrStdout(), cmd.ErrOrStderr() }

func listCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List all faults", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.bind(cmd)
			for _, row := range rows.All() {
				if _, err := fmt.Fprintf(o.stdout, "%-4s %-8s %s\n              voters may see: %s\n", row.Name, row.Kind, row.Title, row.Sees); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func runCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use: "run FAULT…", Short: "Run faults, whatever has a result already", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			o.bind(cmd)
			o.again = true
			var some []rows.Row
			for _, name := range names {
				row, ok := rows.Find(strings.ToUpper(name))
				if !ok {
					return fmt.Errorf("no fault is called %q; see `faults list`", name)
				}
				some = append(some, row)
			}
			if o.seeds == 0 && o.seed == 0 {
				o.seeds = 1
			}
			return o.inLab(cmd.Context(), func(ctx context.Context, lab *rows.Lab) error {
				if o.mutant != "" {
					lab.Env = map[string]string{"LITTLEVOTE_MUTANT": o.mutant}
				}
				return o.try(ctx, lab, some)
			})
		},
	}
	cmd.Flags().StringVar(&o.mutant, "mutant", "", "leave out a rule: a name of libs/faultpoint.Mutants; the results are not kept")
	cmd.Flags().StringVar(&o.from, "from", "", "the version that U1 updates from and rolls back to: a tag or commit (default what .ci/released names)")
	return cmd
}

func allCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "all", Short: "Run all faults with all seeds that have no result at this commit", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.bind(cmd)
			return o.inLab(cmd.Context(), func(ctx context.Context, lab *rows.Lab) error { return o.try(ctx, lab, rows.All()) })
		},
	}
}

// try runs rows, the first seed of all before the second of any, so that a series that is stopped has seen every fault.
func (o *options) try(ctx context.Context, lab *rows.Lab, some []rows.Row) error {
	if o.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.duration)
		defer cancel()
	}
	before, err := o.results().Runs()
	if err != nil {
		return err
	}
	failed := false
	most := 0
	for _, row := range some {
		most = max(most, len(o.seedsOf(row)))
	}
	for round := range most {
		for _, row := range some {
			seeds := o.seedsOf(row)
			if round >= len(seeds) || !o.again && results.Done(before, lab.Commit, row.Name)[seeds[round]] {
				continue
			}
			run, err := lab.Try(ctx, row, seeds[round])
			if errors.Is(err, context.DeadlineExceeded) && o.duration > 0 {
				return o.verdict(failed)
			}
			if err != nil {
				return err
			}
			failed = failed || run.Verdict == results.Failed || run.Verdict == results.Slow
			if err := o.tell(run); err != nil {
				return err
			}
		}
	}
	return o.verdict(failed)
}

func (o *options) verdict(failed bool) error {
	if failed {
		return errFailed
	}
	return nil
}

// tell writes a run down and prints it, with the command that repeats it.
func (o *options) tell(run results.Run) error {
	if o.mutant == "" {
		if err := o.results().Append(run); err != nil {
			return err
		}
	}
	if o.json {
		return json.NewEncoder(o.stdout).Encode(run)
	}
	repeat := fmt.Sprintf("go run ./tools/faults run %s --seed %d", run.Fault, run.Seed)
	if run.Fault == rows.SoakName {
		repeat = fmt.Sprintf("go run ./tools/faults soak --seed %d", run.Seed)
	}
	if _, err := fmt.Fprintf(o.stdout, "%s  %s\n", run, repeat); err != nil {
		return err
	}
	for _, why := range run.Why {
		why, _, _ = strings.Cut(why, "\n")
		if _, err := fmt.Fprintf(o.stdout, "      %s\n", why); err != nil {
			return err
		}
	}
	if run.Evidence != "" || o.verbose || run.Verdict == results.Skipped {
		_, err := fmt.Fprintf(o.stdout, "      %s; took %v; evidence: %s\n", run.Note, run.Took.Round(time.Second), run.Evidence)
		return err
	}
	return nil
}

func reportCommand(o *options) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "report", Short: "Print the table of all runs at the last commit that has any", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.bind(cmd)
			runs, err := o.results().Runs()
			if err != nil {
				return err
			}
			if len(runs) == 0 {
				return errors.New("no runs yet")
			}
			commit := runs[len(runs)-1].Commit
			if all {
				commit = ""
			}
			var names []string
			titles := map[string]string{}
			for _, row := range rows.All() {
				names = append(names, row.Name)
				titles[row.Name] = row.Title
			}
			for _, r := range runs { // of faults that are no rows, such as a soak
				if !slices.Contains(names, r.Fault) {
					names = append(names, r.Fault)
				}
			}
			return results.Print(o.stdout, results.Sum(runs, commit, names, titles))
		},
	}
	cmd.Flags().BoolVar(&all, "all-commits", false, "count the runs of every commit")
	return cmd
}
