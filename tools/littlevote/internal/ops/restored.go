package ops

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/pgledger"

	"github.com/littlevote/littlevote/tools/littlevote/internal/offsets"
	"github.com/littlevote/littlevote/tools/littlevote/internal/reach"
)

// lookAgain is how often the offsets are looked at while persisters work.
const lookAgain = 500 * time.Millisecond

// RestoredCommand is `littlevote restored`.
func RestoredCommand() *cobra.Command {
	var stores reach.Stores
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "restored",
		Short: "After a restore of Postgres: let the log bring back what the backup lacks",
		Long: `Run it when Postgres was restored from a backup, with persisters running and before anything else is started.

It ends the epoch of the backup, so that the next one is loaded from Postgres when that holds the whole log. If the epoch had changed
between the backup and the loss, the log goes on with batches of epochs that the database does not know, and persisters halt before
them. Then this command waits until all that came before them is applied, and counts the epoch on. A halted partition is tried again
when it is assigned anew: restart the persisters and run this command again, until it says that the log is applied to its end.

What had no effect then, since its epoch was over or its ballot certified, has none again: persisters keep note of it in Kafka. What comes
back is what stands in Kafka: votes that Postgres alone took since the backup, while Kafka or Redis was away, are lost, and so
is everything if the backup is older than kafka.retention: ` + "`littlevote offsets show`" + ` says so, and persisters halt.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := stores.Find(); err != nil {
				return err
			}
			pool, err := stores.Pool(cmd.Context())
			if err != nil {
				return err
			}
			defer pool.Close()
			ctx, cancel := context.WithTimeout(cmd.Context(), wait)
			defer cancel()
			return restored(ctx, &stores, pool, cmd.OutOrStdout())
		},
	}
	stores.Flags(cmd, reach.Kafka)
	cmd.Flags().DurationVar(&wait, "wait", time.Minute, "how long persisters may take to apply what they can")
	return cmd
}

func restored(ctx context.Context, stores *reach.Stores, pool *pgxpool.Pool, out io.Writer) error {
	now, err := pgledger.CurrentEpoch(ctx, pool)
	if err != nil {
		return err
	}
	if now.State == "open" {
		if err := epoch.Restored(ctx, pool, now.Number, now.Number); err != nil {
			return err
		}
		fmt.Fprintf(out, "epoch %d, which the backup had, is over\n", now.Number)
	}
	for {
		next, behind, err := nextEpoch(ctx, stores, pool, now.Number)
		switch {
		case err != nil:
			return err
		case behind == 0:
			_, err := fmt.Fprintln(out, "the log is applied to its end: start the other services")
			return err
		case next > now.Number:
			if err := epoch.Restored(ctx, pool, now.Number, next); err != nil {
				return err
			}
			_, err := fmt.Fprintf(out, "the log goes on in epoch %d, with %d records: restart the persisters, then run this command again\n", next, behind)
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d records of epoch %d are not applied yet: do persisters run, and does /readyz of one say that a partition is halted? %w",
				behind, now.Number, ctx.Err())
		case <-time.After(lookAgain):
		}
	}
}

// nextEpoch looks at the first record of each partition that is not applied. While one is left that can be applied it returns 0; else
// the earliest epoch that any of them is of. Behind is how many records are not applied.
func nextEpoch(ctx context.Context, stores *reach.Stores, pool *pgxpool.Pool, current int64) (next, behind int64, err error) {
	at, err := offsets.Look(ctx, stores, pool)
	if err != nil {
		return 0, 0, err
	}
	from := map[int32]kgo.Offset{}
	for _, p := range at.Partitions {
		if p.Halted() {
			return 0, 0, fmt.Errorf("partition %d: %s: `littlevote offsets show` says what is lost", p.Partition, p.State)
		}
		if p.Next < 0 {
			return 0, 0, errors.New("the backup knows no offsets: is the database restored?")
		}
		if p.Behind > 0 {
			behind += p.Behind
			from[p.Partition] = kgo.NewOffset().At(p.Next)
		}
	}
	if behind == 0 {
		return 0, 0, nil
	}
	client, err := stores.Client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{at.Topic: from}))
	if err != nil {
		return 0, 0, err
	}
	defer client.Close()
	for len(from) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return 0, 0, fmt.Errorf("read %s: %w", at.Topic, err)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			if _, first := from[r.Partition]; !first {
				continue
			}
			delete(from, r.Partition)
			batch, err := events.Decode(r.Value)
			if err != nil || batch.GetEpoch() <= current {
				return 0, behind, nil // a persister passes it
			}
			if next == 0 || batch.GetEpoch() < next {
				next = batch.GetEpoch()
			}
		}
	}
	return next, behind, nil
}
