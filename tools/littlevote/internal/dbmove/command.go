package dbmove

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/littlevote/littlevote/libs/config"
)

// options are what all subcommands share.
type options struct {
	from, to string
	asJSON   bool
}

const long = `Moves the ledger to another Postgres, or to a database that speaks its protocol, while votes go on. Each step can be undone.

  1. littlevote migrate --postgres-url TO      the schema
  2. littlevote dbmove start                   full copy, as of one moment; from here on TO is read-only to all who do not insist
  3. persister --postgres-url 'TO?default_transaction_read_only=off' --persister-group move
                                               catches up from the log, and stays
  4. littlevote dbmove follow                  carries what the log does not; leave it running
  5. littlevote dbmove compare                 every batch, row by row
  6. restart query-service with --postgres-replica-url TO: where Redis is away, reads go there. And restart all services, one after
     the other, with both hosts in the URL: --postgres-url postgres://user:password@from:5432,to:5432/database
  7. stop follow and the persister of step 3; littlevote dbmove switch
                                               FROM becomes read-only, the rest is carried, compared, TO is opened; the services find it
  8. restart the services, when it suits, with TO alone

Where the two databases differ in user, password or name, leave out the two hosts, and restart the services on TO at once after 7:
votes go on for participant.lease.

To undo: before 7, stop what runs on TO and drop it. After 7 and before a service works on TO, littlevote dbmove back. After that, the same
steps the other way round (start --again). Do not void votes during a move: compare would find them missing.`

// Command is `littlevote dbmove`.
func Command() *cobra.Command {
	var o options
	cmd := &cobra.Command{Use: "dbmove", Short: "Move the ledger to another database while votes go on", Long: long, Args: cobra.NoArgs}
	flags := cmd.PersistentFlags()
	flags.StringVar(&o.from, "from", os.Getenv("LITTLEVOTE_POSTGRES_URL"), "postgres://… of the primary that is the ledger, as its owner; else LITTLEVOTE_POSTGRES_URL")
	flags.StringVar(&o.to, "to", "", "postgres://… of the database that becomes it, as its owner")
	flags.BoolVar(&o.asJSON, "json", false, "print JSON")
	cmd.AddCommand(o.startCommand(), o.followCommand(), o.compareCommand(), o.switchCommand(), o.backCommand())
	return cmd
}

// with opens both databases for one command.
func (o *options) with(cmd *cobra.Command, use func(ctx context.Context, m *Move) error) error {
	if err := config.Required("--from", o.from); err != nil {
		return err
	}
	if err := config.Required("--to", o.to); err != nil {
		return err
	}
	if o.from == o.to {
		return config.Errorf("--to", "expected another database than --from")
	}
	m, err := Open(cmd.Context(), o.from, o.to, func(format string, args ...any) {
		fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", args...)
	})
	if err != nil {
		return err
	}
	defer m.Close()
	return use(cmd.Context(), m)
}

func (o *options) print(cmd *cobra.Command, value any, text string, args ...any) error {
	if o.asJSON {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(value)
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), text+"\n", args...)
	return err
}

func (o *options) startCommand() *cobra.Command {
	var again bool
	cmd := &cobra.Command{
		Use: "start", Short: "Copy everything, as of one moment", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.with(cmd, func(ctx context.Context, m *Move) error {
				began := time.Now()
				if err := m.Start(ctx, again); err != nil {
					return err
				}
				took := time.Since(began).Round(time.Millisecond)
				return o.print(cmd, map[string]any{"took_ns": took}, "copied in %v. Now start a persister on the target, with a group of its own, and `dbmove follow`", took)
			})
		},
	}
	cmd.Flags().BoolVar(&again, "again", false, "replace what the target holds")
	return cmd
}

func (o *options) followCommand() *cobra.Command {
	var once bool
	var every time.Duration
	cmd := &cobra.Command{
		Use: "follow", Short: "Carry over what the log does not, until it is stopped", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.with(cmd, func(ctx context.Context, m *Move) error {
				for {
					p, err := m.Follow(ctx, time.Now().Add(-maxAge))
					if err != nil {
						return err
					}
					if err := o.print(cmd, p, "epoch %d, %s, %d batches carried, %d still to come over the log", p.Epoch, p.lag(), p.Carried, p.Left); err != nil || once {
						return err
					}
					select {
					case <-ctx.Done():
						return nil
					case <-time.After(every):
					}
				}
			})
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "look once")
	cmd.Flags().DurationVar(&every, "every", 5*time.Second, "how often to look")
	return cmd
}

func (p Progress) lag() string {
	if p.Behind < 0 {
		return "no persister has caught up on the target yet"
	}
	return fmt.Sprintf("the persister on the target is %v behind", p.Behind.Round(time.Millisecond))
}

func (o *options) compareCommand() *cobra.Command {
	return &cobra.Command{
		Use: "compare", Short: "Hold every batch that is older than a minute against the target", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.with(cmd, func(ctx context.Context, m *Move) error {
				c, err := m.Compare(ctx, time.Now().Add(-time.Minute))
				if err != nil {
					return err
				}
				if err := o.print(cmd, c, "%d batches are the same, %d only the target has", c.Batches, c.More); err != nil {
					return err
				}
				if len(c.Wrong) > 0 {
					return fmt.Errorf("not the same: %v", c.Wrong)
				}
				return nil
			})
		},
	}
}

func (o *options) switchCommand() *cobra.Command {
	return &cobra.Command{
		Use: "switch", Short: "Make the target the ledger", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.with(cmd, func(ctx context.Context, m *Move) error {
				c, err := m.Switch(ctx, time.Now().Add(-maxAge))
				if err != nil {
					return err
				}
				return o.print(cmd, c, "the target is the ledger: %d batches are the same, %d came over the log. The services go there by themselves if their URL names it; else start them again on it now, within participant.lease", c.Batches, c.More)
			})
		},
	}
}

func (o *options) backCommand() *cobra.Command {
	return &cobra.Command{
		Use: "back", Short: "Undo a switch, while no process works on the target yet", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.with(cmd, func(ctx context.Context, m *Move) error {
				if err := m.Back(ctx); err != nil {
					return err
				}
				return o.print(cmd, map[string]any{"back": true}, "the source is the ledger again; the target goes on as a copy")
			})
		},
	}
}
