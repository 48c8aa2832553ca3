package ops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"

	"github.com/littlevote/littlevote/tools/littlevote/internal/reach"
)

// ErrDiffers says that the report was printed, and that something in it differs.
var ErrDiffers = errors.New("the counts differ")

// report is what a recount found; Redis is nil where it was not asked.
type report struct {
	OK      bool                  `json:"ok"`
	Rows    int64                 `json:"rows"`
	Votes   int64                 `json:"votes"`
	Tallies []pgledger.TallyDiff  `json:"tallies"`
	Tickets []pgledger.TicketDiff `json:"tickets"`
	Redis   []redisDiff           `json:"redis"`
}

// redisDiff is a candidate whose live count is not Postgres's.
type redisDiff struct {
	Ballot, Username string
	Postgres, Redis  int64
}

// RecountCommand is `littlevote recount`.
func RecountCommand() *cobra.Command {
	var (
		s      reach.Stores
		asJSON bool
		wait   time.Duration
	)
	cmd := &cobra.Command{
		Use:   "recount",
		Short: "Add up the ledger and compare it with the tallies",
		Long: `Adds up the whole ledger in Postgres and compares it with the tallies there, the uses of every ticket with its cap, and,
where a Redis is known, the live tally with both. Exits with 1 if anything differs.

The ledger and its tallies are compared in one snapshot. The live tally runs ahead of Postgres while votes come in: recount waits up
to --wait for them to agree.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.Find(); err != nil {
				return err
			}
			r, err := recount(cmd.Context(), s, wait)
			if err != nil {
				return err
			}
			if err := show(cmd.OutOrStdout(), r, asJSON, s.RedisURL != ""); err != nil {
				return err
			}
			if !r.OK {
				return ErrDiffers
			}
			return nil
		},
	}
	s.Flags(cmd, reach.Redis)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	cmd.Flags().DurationVar(&wait, "wait", 10*time.Second, "how long the live tally and Postgres may take to agree")
	return cmd
}

func recount(ctx context.Context, s reach.Stores, wait time.Duration) (report, error) {
	pool, err := s.Pool(ctx)
	if err != nil {
		return report{}, err
	}
	defer pool.Close()
	var live []redisDiff
	if s.RedisURL != "" {
		if live, err = compareLive(ctx, pool, s.RedisURL, wait); err != nil {
			return report{}, err
		}
	}
	found, err := pgledger.Recount(ctx, pool)
	if err != nil {
		return report{}, err
	}
	return report{
		OK: found.OK() && len(live) == 0, Rows: found.Rows, Votes: found.Votes,
		Tallies: found.Tallies, Tickets: found.Tickets, Redis: live,
	}, nil
}

// compareLive compares the live tally with Postgres's until they agree, or for as long as wait.
func compareLive(ctx context.Context, pool *pgxpool.Pool, redisURL string, wait time.Duration) ([]redisDiff, error) {
	rdb, err := redisledger.Open(redisURL, 4, 2*time.Second)
	if err != nil {
		return nil, err
	}
	defer rdb.Close()
	ledger := redisledger.New(rdb)
	deadline := time.Now().Add(wait)
	for {
		diffs, err := liveDiffs(ctx, pool, ledger)
		if err == nil && len(diffs) == 0 || time.Now().After(deadline) {
			return diffs, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func liveDiffs(ctx context.Context, pool *pgxpool.Pool, ledger *redisledger.Ledger) ([]redisDiff, error) {
	epoch, err := pgledger.CurrentEpoch(ctx, pool)
	if err != nil {
		return nil, err
	}
	ballots, err := pgledger.Ballots(ctx, pool)
	if err != nil {
		return nil, err
	}
	var diffs []redisDiff
	fence := redisledger.Fence{Epoch: epoch.Number, NS: epoch.NS}
	for _, b := range ballots {
		counts, _, err := ledger.Tally(ctx, fence, b.Name, nil)
		if err != nil {
			return nil, fmt.Errorf("live tally of %s in epoch %d: %w", b.Name, epoch.Number, err)
		}
		rows, err := pgledger.Tallies(ctx, pool, b.Name, nil)
		if err != nil {
			return nil, err
		}
		diffs = append(diffs, diff(b.Name, counts, rows)...)
	}
	return diffs, nil
}

func diff(ballot string, live []redisledger.Count, rows []pgledger.Tally) []redisDiff {
	left := make(map[string]int64, len(live))
	for _, c := range live {
		left[c.Name] = c.Votes
	}
	var diffs []redisDiff
	for _, row := range rows {
		if left[row.Username] != row.Votes {
			diffs = append(diffs, redisDiff{Ballot: ballot, Username: row.Username, Postgres: row.Votes, Redis: left[row.Username]})
		}
		delete(left, row.Username)
	}
	for name, votes := range left {
		if votes != 0 {
			diffs = append(diffs, redisDiff{Ballot: ballot, Username: name, Redis: votes})
		}
	}
	return diffs
}

func show(w io.Writer, r report, asJSON, withRedis bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	fmt.Fprintf(w, "ledger: %d rows, %d votes\n", r.Rows, r.Votes)
	for _, d := range r.Tallies {
		fmt.Fprintf(w, "DIFFERS %s/%s: ledger %d, tally %d\n", d.Ballot, d.Username, d.Ledger, d.Tally)
	}
	for _, d := range r.Tickets {
		fmt.Fprintf(w, "DIFFERS ticket %s of %s: ledger %d, used %d, cap %s\n", d.Version, d.Ballot, d.Ledger, d.Used, capText(d.Cap))
	}
	for _, d := range r.Redis {
		fmt.Fprintf(w, "DIFFERS %s/%s: Postgres %d, Redis %d\n", d.Ballot, d.Username, d.Postgres, d.Redis)
	}
	if r.OK && withRedis {
		fmt.Fprintln(w, "ledger, tallies, tickets and the live tally agree")
	} else if r.OK {
		fmt.Fprintln(w, "ledger, tallies and tickets agree (no Redis was asked)")
	}
	return nil
}

func capText(n *int64) string {
	if n == nil {
		return "none"
	}
	return fmt.Sprint(*n)
}
