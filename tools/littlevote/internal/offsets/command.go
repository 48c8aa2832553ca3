package offsets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/littlevote/littlevote/libs/config"

	"github.com/littlevote/littlevote/tools/littlevote/internal/reach"
)

// Command is `littlevote offsets`.
func Command() *cobra.Command {
	var (
		stores reach.Stores
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "offsets",
		Short: "See how far the log is applied, and let a halted partition go on",
		Args:  cobra.NoArgs,
	}
	stores.Flags(cmd, reach.Kafka)
	cmd.PersistentFlags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.AddCommand(showCommand(&stores, &asJSON), acceptCommand(&stores, &asJSON))
	return cmd
}

func showCommand(stores *reach.Stores, asJSON *bool) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Show each partition: where it goes on, what Kafka has, and whether it is halted",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withOverview(cmd.Context(), stores, func(_ *pgxpool.Pool, o Overview) error {
				return show(cmd.OutOrStdout(), o, *asJSON)
			})
		},
	}
}

func acceptCommand(stores *reach.Stores, asJSON *bool) *cobra.Command {
	var all, yes bool
	cmd := &cobra.Command{
		Use:   "accept PARTITION... | --all",
		Short: "Accept that records are lost, and let halted partitions go on at the first one that Kafka has",
		Long: `A partition halts where records are gone from Kafka that nobody has read. Accept says what is lost, and with --yes moves the
offset to the first record that Kafka has; the persister goes on there by itself. Records that are read twice by that count once.

Acknowledged votes in lost records are lost: no command brings them back. The counts in Redis still have them until the next epoch,
which the reconciler, or ` + "`littlevote epoch end`" + `, brings about. A topic that was made anew is accepted as a whole.`,
		Args: func(_ *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return config.Errorf("PARTITION", "expected numbers of partitions, or --all")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return withOverview(cmd.Context(), stores, func(pool *pgxpool.Pool, o Overview) error {
				chosen, err := choose(o, args)
				if err != nil {
					return err
				}
				for _, p := range chosen {
					cmd.PrintErrf("partition %d: %s It goes on at %d.\n", p.Partition, p.lost(), p.First)
				}
				if !yes {
					return errors.New("nothing was changed: --yes accepts it")
				}
				if err := accept(cmd.Context(), pool, o, chosen); err != nil {
					return err
				}
				now, err := Look(cmd.Context(), stores, pool)
				if err != nil {
					return err
				}
				return show(cmd.OutOrStdout(), now, *asJSON)
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "every partition that is halted")
	cmd.Flags().BoolVar(&yes, "yes", false, "do it: without it the loss is only told")
	return cmd
}

// choose finds the halted partitions that are meant. A topic that was made anew can't be accepted in parts.
func choose(o Overview, args []string) ([]Partition, error) {
	var chosen []Partition
	for _, text := range args {
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil || int(n) >= len(o.Partitions) {
			return nil, config.Errorf("PARTITION", "expected 0 to %d, got %q", len(o.Partitions)-1, text)
		}
		p := o.Partitions[n]
		if !p.Halted() {
			return nil, fmt.Errorf("partition %d is not halted for lost records: %s", n, p.State)
		}
		chosen = append(chosen, p)
	}
	if len(args) == 0 {
		chosen = slices.DeleteFunc(slices.Clone(o.Partitions), func(p Partition) bool { return !p.Halted() })
	}
	if len(chosen) == 0 {
		return nil, errors.New("no partition is halted for lost records")
	}
	if o.OldID != nil && len(chosen) < len(o.Partitions) {
		return nil, errors.New("the topic was made anew, which can only be accepted for --all")
	}
	return chosen, nil
}

func withOverview(ctx context.Context, stores *reach.Stores, f func(*pgxpool.Pool, Overview) error) error {
	if err := stores.Find(); err != nil {
		return err
	}
	pool, err := stores.Pool(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	o, err := Look(ctx, stores, pool)
	if err != nil {
		return err
	}
	return f(pool, o)
}

func show(w io.Writer, o Overview, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(o)
	}
	fmt.Fprintf(w, "topic %s, id %s\n", o.Topic, o.ID)
	if o.OldID != nil {
		fmt.Fprintf(w, "the offsets belong to a topic that is gone, id %s\n", o.OldID)
	}
	for _, p := range o.Partitions {
		caughtUp := "never"
		if p.CaughtUpAt != nil && p.CaughtUpAt.Year() > 1970 {
			caughtUp = p.CaughtUpAt.UTC().Format(time.RFC3339)
		}
		has := "nothing"
		if p.First < p.End {
			has = fmt.Sprintf("%d to %d", p.First, p.End-1)
		}
		_, err := fmt.Fprintf(w, "partition %d: goes on at %d, Kafka has %s, %d behind, caught up at %s: %s\n",
			p.Partition, p.Next, has, p.Behind, caughtUp, p.State)
		if err != nil {
			return err
		}
	}
	return nil
}
