package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/littlevote/littlevote/tools/faults/internal/mutants"
	"github.com/littlevote/littlevote/tools/faults/internal/results"
	"github.com/littlevote/littlevote/tools/faults/internal/rows"
)

func mutantsCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "mutants [NAME…]", Short: "Show that each rule that is left out is noticed by a test or a fault",
		RunE: func(cmd *cobra.Command, names []string) error {
			o.bind(cmd)
			table := mutants.Table()
			if len(names) > 0 {
				table = slices.DeleteFunc(table, func(c mutants.Catch) bool { return !slices.Contains(names, c.Mutant) })
			}
			if len(table) == 0 {
				return errors.New("no such mutant")
			}
			if !slices.ContainsFunc(table, func(c mutants.Catch) bool { return c.Fault != "" }) {
				return o.mutants(cmd.Context(), table, nil)
			}
			return o.inLab(cmd.Context(), func(ctx context.Context, lab *rows.Lab) error { return o.mutants(ctx, table, lab) })
		},
	}
}

// mutants tries them all; the lab is needed only where faults are to notice one.
func (o *options) mutants(ctx context.Context, table []mutants.Catch, lab *rows.Lab) error {
	root, err := repository(ctx)
	if err != nil {
		return err
	}
	dir, err := filepath.Abs(filepath.Join(o.dir, "mutants"))
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintln(o.stderr, "building the tests with -tags faults")
	bench, err := mutants.Build(ctx, root, dir, table)
	if err != nil {
		return err
	}
	if err := bench.Control(ctx, table); err != nil {
		return err
	}
	survived, err := bench.All(ctx, table, o.stdout, func(ctx context.Context, c mutants.Catch) (string, error) {
		return noticedBy(ctx, lab, c)
	})
	if err != nil {
		return err
	}
	if survived > 0 {
		return fmt.Errorf("%d of %d survived", survived, len(table))
	}
	_, err = fmt.Fprintf(o.stdout, "%d of %d caught\n", len(table), len(table))
	return err
}

// noticedBy runs a fault with a mutant and says what the checker noticed.
func noticedBy(ctx context.Context, lab *rows.Lab, c mutants.Catch) (string, error) {
	row, ok := rows.Find(c.Fault)
	if !ok {
		return "", fmt.Errorf("no fault is called %s", c.Fault)
	}
	wrong := *lab
	wrong.Env = map[string]string{"LITTLEVOTE_MUTANT": c.Mutant}
	run, err := wrong.Try(ctx, row, c.Seed)
	if err != nil || run.Verdict != results.Failed {
		return "", err
	}
	return fmt.Sprintf("%s, seed %d: %s", c.Fault, c.Seed, run.Why[0]), nil
}
