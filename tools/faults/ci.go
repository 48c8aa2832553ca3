package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/littlevote/littlevote/tools/faults/internal/mutants"
	"github.com/littlevote/littlevote/tools/faults/internal/rows"
)

// selection is what runs for every change: the shortest of each kind, each way into and out of a degraded mode, and a
// rolling restart, among them.
func selection() []string {
	return []string{"F1", "V2", "F2", "F7", "F8", "C1", "C3", "F15", "F22", "F27", "L2", "P2", "F21"}
}

func ciCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "ci", Short: "Run what must hold for every change: one fault of each kind, and all mutants", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.bind(cmd)
			o.again = true
			if o.seeds == 0 && o.seed == 0 {
				o.seeds = 1
			}
			var some []rows.Row
			for _, name := range selection() {
				row, ok := rows.Find(name)
				if !ok {
					return fmt.Errorf("no fault is called %s", name)
				}
				some = append(some, row)
			}
			return o.inLab(cmd.Context(), func(ctx context.Context, lab *rows.Lab) error {
				return errors.Join(o.try(ctx, []*rows.Lab{lab}, some), o.mutants(ctx, mutants.Table(), lab))
			})
		},
	}
}
