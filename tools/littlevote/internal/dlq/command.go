package dlq

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/littlevote/littlevote/libs/config"

	"github.com/littlevote/littlevote/tools/littlevote/internal/reach"
)

// options are what all subcommands share.
type options struct {
	reach  reach.Stores
	asJSON bool
}

// Command is `littlevote dlq`.
func Command() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "dlq",
		Short: "Look at dead letters, send them again, or drop them",
		Long: `A record of the vote topic that is no vote batch, or one of a format that no persister knew, is a dead letter: it stands in
a topic of its own, and the persister went on. Each has an address, partition:offset in that topic. Nothing is deleted
here; what was done with a letter is written down in Postgres.`,
		Args: cobra.NoArgs,
	}
	o.reach.Flags(cmd, reach.Kafka)
	cmd.PersistentFlags().BoolVar(&o.asJSON, "json", false, "print one JSON object a line")
	cmd.AddCommand(listCommand(&o), showCommand(&o), replayCommand(&o), dropCommand(&o))
	return cmd
}

// withOffice runs f on the stores.
func (o *options) withOffice(ctx context.Context, f func(*office) error) error {
	if err := o.reach.Find(); err != nil {
		return err
	}
	office, err := open(ctx, &o.reach)
	if err != nil {
		return err
	}
	defer office.close()
	return f(office)
}

func listCommand(o *options) *cobra.Command {
	var which filter
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the letters, oldest first in each partition",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.withOffice(cmd.Context(), func(d *office) error {
				p := newPrinter(cmd.OutOrStdout(), o.asJSON)
				err := d.scan(cmd.Context(), which, func(l *letter) error { return p.row(l) })
				return errors.Join(err, p.end("letter", "letters"))
			})
		},
	}
	cmd.Flags().StringVar(&which.reason, "reason", "", "only those whose reason has this text in it")
	cmd.Flags().BoolVar(&which.unhandled, "unhandled", false, "only those that nobody has replayed or dropped")
	return cmd
}

func showCommand(o *options) *cobra.Command {
	var whole bool
	cmd := &cobra.Command{
		Use:   "show PARTITION:OFFSET...",
		Short: "Show letters with headers, value and, if it parses now, the batch in it",
		Args:  addresses(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.withOffice(cmd.Context(), func(d *office) error {
				p := newPrinter(cmd.OutOrStdout(), o.asJSON)
				return d.each(cmd.Context(), args, func(l *letter) error {
					if err := d.examine(cmd.Context(), l); err != nil {
						return err
					}
					return p.whole(l, whole)
				})
			})
		},
	}
	cmd.Flags().BoolVar(&whole, "whole", false, fmt.Sprintf("print more than the first %d bytes of a value", dumpBytes))
	return cmd
}

// choice is which letters a command works on: addresses, or --all with a filter.
type choice struct {
	all    bool
	filter filter
}

func (c *choice) flags(cmd *cobra.Command, verb string) {
	cmd.Flags().BoolVar(&c.all, "all", false, verb+" every letter that was neither replayed nor dropped yet")
	cmd.Flags().StringVar(&c.filter.reason, "reason", "", "with --all: only those whose reason has this text in it")
}

// run calls f for each letter that was chosen. With addresses it goes on after one that fails.
func (c *choice) run(ctx context.Context, d *office, args []string, f func(*letter) error) error {
	if c.all {
		c.filter.unhandled = true
		return d.scan(ctx, c.filter, f)
	}
	return d.each(ctx, args, f)
}

func (c *choice) args(cmd *cobra.Command, args []string) error {
	switch {
	case c.all && len(args) > 0:
		return config.Errorf("--all", "expected no addresses beside it")
	case !c.all && c.filter.reason != "":
		return config.Errorf("--reason", "expected --all beside it")
	case c.all:
		return nil
	}
	return addresses()(cmd, args)
}

func replayCommand(o *options) *cobra.Command {
	var (
		which choice
		again bool
	)
	cmd := &cobra.Command{
		Use:   "replay PARTITION:OFFSET... | --all",
		Short: "Send letters to the vote topic again, as they once came",
		Long: `Produces each letter's value under its own key to the vote topic and writes that down. A letter that was replayed or dropped
before is told and left alone, unless --again is given. Even then a batch counts once: its id makes every copy but one a
duplicate. What still is no vote batch comes back as a new dead letter. A batch that would do harm is not sent:
one that would halt its partition, or one that counted so long ago that nobody could tell that it is a duplicate.`,
		Args: func(cmd *cobra.Command, args []string) error { return which.args(cmd, args) },
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.withOffice(cmd.Context(), func(d *office) error {
				ctx, p := cmd.Context(), newPrinter(cmd.OutOrStdout(), o.asJSON)
				err := which.run(ctx, d, args, func(l *letter) error {
					if l.action != "" && !again {
						return p.left(l)
					}
					if err := d.examine(ctx, l); err != nil {
						return err
					}
					if err := d.replay(ctx, l); err != nil {
						return fmt.Errorf("%s: %w", l.address, err)
					}
					return p.done(l)
				})
				return errors.Join(err, p.end("letter was sent", "letters were sent"))
			})
		},
	}
	which.flags(cmd, "replay")
	cmd.Flags().BoolVar(&again, "again", false, "also letters that were replayed or dropped before")
	return cmd
}

func dropCommand(o *options) *cobra.Command {
	var which choice
	cmd := &cobra.Command{
		Use:   "drop PARTITION:OFFSET... | --all",
		Short: "Write down that nothing is to be done with letters",
		Long:  "Writes down that the letters are dropped. They stay in their topic until its retention ends, and replay --again still finds them.",
		Args:  func(cmd *cobra.Command, args []string) error { return which.args(cmd, args) },
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.withOffice(cmd.Context(), func(d *office) error {
				ctx, p := cmd.Context(), newPrinter(cmd.OutOrStdout(), o.asJSON)
				err := which.run(ctx, d, args, func(l *letter) error {
					if l.action != "" {
						return p.left(l)
					}
					if err := d.record(ctx, l, dropped); err != nil {
						return err
					}
					return p.done(l)
				})
				return errors.Join(err, p.end("letter was dropped", "letters were dropped"))
			})
		},
	}
	which.flags(cmd, "drop")
	return cmd
}

// addresses wants one address or more, each of which can be read.
func addresses() cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return config.Errorf("PARTITION:OFFSET", "expected the address of a letter, as `dlq list` shows it, or --all where that is a flag")
		}
		for _, text := range args {
			if _, err := parseAddress(text); err != nil {
				return err
			}
		}
		return nil
	}
}

// stallTime is how long Kafka or Postgres may say nothing before a command gives up.
const stallTime = 15 * time.Second
