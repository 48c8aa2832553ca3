// Package epochs is `littlevote epoch`: which ledger decides the votes, and an operator's say in it.
package epochs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/pgledger"

	"github.com/littlevote/littlevote/tools/littlevote/internal/reach"
)

const (
	// stallTime is how long Postgres may take for one answer; a change of the row waits for the transactions under way.
	stallTime = 15 * time.Second
	lookEvery = 100 * time.Millisecond
)

// options are what all subcommands share.
type options struct {
	reach  reach.Stores
	asJSON bool
	wait   time.Duration
}

// Command is `littlevote epoch`.
func Command() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "epoch",
		Short: "See which ledger decides the votes, and change it",
		Long: `An epoch is a time in which one ledger decides: Redis, or Postgres while Redis is away or moves. Between two epochs whatever
was acknowledged is carried over. The services change it by themselves; these commands let an operator ask for it. The change itself is made by
the vote-services that live: with none alive it waits for the first.`,
		Args: cobra.NoArgs,
	}
	o.reach.Flags(cmd)
	cmd.PersistentFlags().BoolVar(&o.asJSON, "json", false, "print JSON")
	cmd.AddCommand(o.showCommand(), o.endCommand(), o.holdCommand(), o.releaseCommand())
	return cmd
}

func (o *options) showCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Show the epoch, who takes part in it, and the ballots",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.withPool(cmd.Context(), func(ctx context.Context, pool *pgxpool.Pool) error {
				now, err := epoch.Show(ctx, pool)
				if errors.Is(err, pgledger.ErrNoEpoch) {
					err = errors.New("no epoch was ever opened: the first vote-service does that")
				}
				if err != nil {
					return err
				}
				return o.print(cmd.OutOrStdout(), now)
			})
		},
	}
}

func (o *options) endCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "end",
		Short: "End the epoch that is open in Redis; the next one is loaded from Postgres",
		Long: `Ends the epoch, for example since a count in Redis is not to be trusted. Votes wait or are refused, to be retried, for the second or
two that a change takes; the next epoch is loaded from the ledger in Postgres, into Redis if that is well.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if strings.TrimSpace(reason) == "" {
				return config.Errorf("--reason", "expected a few words for those who read the log")
			}
			return o.change(cmd, func(ctx context.Context, pool *pgxpool.Pool) error {
				return epoch.EndByHand(ctx, pool, reason)
			}, func(before, now epoch.Overview) bool { return now.Epoch > before.Epoch && now.State == stateOpen })
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "ended by an operator", "why, for those who read the log")
	o.waitFlag(cmd)
	return cmd
}

func (o *options) holdCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hold",
		Short: "Decide votes in Postgres from now on, until release: Redis may then be moved or stopped",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.change(cmd, epoch.Hold, func(_, now epoch.Overview) bool {
				return now.Held && now.Mode == epoch.Postgres && now.State == stateOpen
			})
		},
	}
	o.waitFlag(cmd)
	return cmd
}

func (o *options) releaseCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "release",
		Short: "Let votes go back to Redis: at once if it is well, else when it is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.change(cmd, epoch.Release, func(_, now epoch.Overview) bool {
				return !now.Held && now.Mode == epoch.Redis && now.State == stateOpen
			})
		},
	}
	o.waitFlag(cmd)
	return cmd
}

func (o *options) waitFlag(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&o.wait, "wait", time.Minute, "how long the change may take before this command fails; the wish stands all the same; 0 does not wait")
}

// stateOpen is the state in which votes are decided.
const stateOpen = "open"

// change writes an operator's wish down and waits until it is done.
func (o *options) change(
	cmd *cobra.Command, wish func(context.Context, *pgxpool.Pool) error, done func(before, now epoch.Overview) bool,
) error {
	return o.withPool(cmd.Context(), func(ctx context.Context, pool *pgxpool.Pool) error {
		before, err := epoch.Show(ctx, pool)
		if err != nil {
			return err
		}
		if err := ask(ctx, pool, wish); err != nil {
			return err
		}
		now, err := o.await(ctx, pool, func(now epoch.Overview) bool { return done(before, now) })
		if err != nil {
			return err
		}
		return o.print(cmd.OutOrStdout(), now)
	})
}

func ask(ctx context.Context, pool *pgxpool.Pool, wish func(context.Context, *pgxpool.Pool) error) error {
	ctx, cancel := context.WithTimeout(ctx, stallTime)
	defer cancel()
	return wish(ctx, pool)
}

// await looks until the wish is done, and says what stands in the way if that takes too long.
func (o *options) await(ctx context.Context, pool *pgxpool.Pool, done func(epoch.Overview) bool) (epoch.Overview, error) {
	over := time.NewTimer(o.wait)
	defer over.Stop()
	for {
		now, err := epoch.Show(ctx, pool)
		if err != nil || o.wait == 0 || done(now) {
			return now, err
		}
		select {
		case <-ctx.Done():
			return now, ctx.Err()
		case <-over.C:
			return now, fmt.Errorf("the wish is written down, but not done after %v: %s", o.wait, obstacle(now))
		case <-time.After(lookEvery):
		}
	}
}

// obstacle is what a change waits for.
func obstacle(now epoch.Overview) string {
	var waits []string
	alive := 0
	for _, p := range now.Participants {
		if now.Holds(p) {
			waits = append(waits, fmt.Sprintf("%s %s, whose lease ends in %v", p.Service, p.ID, until(now, p.LeaseUntil)))
		}
		if now.Now.Before(p.LeaseUntil) {
			alive++
		}
	}
	switch {
	case len(waits) > 0:
		return "it waits for " + strings.Join(waits, ", ")
	case alive == 0:
		return "no vote-service is alive to do it"
	case now.State != stateOpen:
		return "it waits for the persister to pass the end of the log, or for Redis"
	default:
		return "Redis may be away, or the epoch in Postgres has just begun"
	}
}

func (o *options) withPool(ctx context.Context, f func(context.Context, *pgxpool.Pool) error) error {
	if err := o.reach.Find(); err != nil {
		return err
	}
	pool, err := o.reach.Pool(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	return f(ctx, pool)
}
