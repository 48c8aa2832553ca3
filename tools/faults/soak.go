package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/littlevote/littlevote/tools/faults/internal/results"
	"github.com/littlevote/littlevote/tools/faults/internal/rows"
)

// usualSoak is how long a soak is unless --duration says otherwise.
const usualSoak = 10 * time.Minute

func soakCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "soak", Short: "Vote for long with a random fault every minute; memory must stay flat", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.bind(cmd)
			duration := o.duration
			if duration == 0 {
				duration = usualSoak
			}
			return o.inLab(cmd.Context(), func(ctx context.Context, lab *rows.Lab) error {
				run, err := lab.Soak(ctx, max(o.seed, 1), duration)
				if err != nil {
					return err
				}
				if err := o.tell(run); err != nil {
					return err
				}
				return o.verdict(run.Verdict != results.Passed)
			})
		},
	}
}
