package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

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
			return o.inLabs(cmd.Context(), func(ctx context.Context, labs []*rows.Lab) error {
				if o.mutant != "" {
					for _, lab := range labs {
						lab.Env = map[string]string{"LITTLEVOTE_MUTANT": o.mutant}
					}
				}
				return o.try(ctx, labs, some)
			})
		},
	}
	o.lanesFlag(cmd)
	cmd.Flags().StringVar(&o.mutant, "mutant", "", "leave out a rule: a name of libs/faultpoint.Mutants; the results are not kept")
	cmd.Flags().StringVar(&o.from, "from", "", "the version that U1 updates from and rolls back to: a tag or commit (default what .ci/released names)")
	return cmd
}

func allCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use: "all", Short: "Run all faults with all seeds that have no result at this commit", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.bind(cmd)
			return o.inLabs(cmd.Context(), func(ctx context.Context, labs []*rows.Lab) error { return o.try(ctx, labs, rows.All()) })
		},
	}
	o.lanesFlag(cmd)
	return cmd
}

func (o *options) lanesFlag(cmd *cobra.Command) {
	cmd.Flags().IntVar(&o.lanes, "lanes", 1, "how many faults are tried at once, 1 to 16, each on servers of its own; one takes about half a core and 1 GiB, and what measures answers runs alone")
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
