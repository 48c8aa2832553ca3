package ops

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
)

// checkRedis compares the live counts with the ledger, ballot by ballot, at one exact moment each.
func (f *fsck) checkRedis(ctx context.Context, pool *pgxpool.Pool) error {
	if f.stores.RedisURL == "" {
		f.skip("Redis, which was not given")
		return nil
	}
	epoch, err := pgledger.CurrentEpoch(ctx, pool)
	if err != nil {
		return err
	}
	if epoch.Mode != "redis" || epoch.State != "open" {
		f.skip("Redis: epoch %d is %s in mode %s", epoch.Number, epoch.State, epoch.Mode)
		return nil
	}
	rdb, err := redisledger.Connect(f.stores.RedisConfig(), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { _ = rdb.Close() }() // nothing was written
	ballots, err := pgledger.Ballots(ctx, pool)
	if err != nil {
		return err
	}
	live := &live{pool: pool, ledger: redisledger.New(rdb), epoch: epoch}
	deadline := time.Now().Add(f.wait)
	for _, b := range ballots {
		f.progress("checking Redis: " + b.Name)
		found, err := live.compare(ctx, b.Name, deadline)
		if errors.Is(err, pgledger.ErrNotOpen) || errors.Is(err, redisledger.ErrWrongEpoch) {
			f.skip("Redis, ballot %s: %v", b.Name, err)
			continue
		}
		if err != nil {
			return fmt.Errorf("compare ballot %s in Redis: %w", b.Name, err)
		}
		f.found(found)
	}
	return nil
}

// live is the ledger in Redis.
type live struct {
	pool   *pgxpool.Pool
	ledger *redisledger.Ledger
	epoch  pgledger.Epoch
}

// compare takes a cut and waits until Postgres agrees with it, which is behind by what the persister is behind.
func (l *live) compare(ctx context.Context, ballot string, deadline time.Time) ([]pgledger.Finding, error) {
	cut, err := l.ledger.Cut(ctx, redisledger.Fence{Epoch: l.epoch.Number, NS: l.epoch.NS}, ballot)
	if err != nil {
		return nil, err
	}
	waiting := map[uuid.UUID]bool{}
	for _, w := range cut.Waiting {
		waiting[w.Batch] = true
	}
	for {
		want, err := pgledger.Base(ctx, l.pool, l.epoch.Number, ballot)
		if err != nil {
			return nil, err
		}
		rows, err := pgledger.CutSums(ctx, l.pool, l.epoch.Number, ballot, 0, cut.Admissions, time.Time{})
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			if !waiting[row.Batch] {
				want[row.Username] += row.Votes
			}
		}
		found := compareCounts(ballot, want, cut.Tally)
		if len(found) == 0 || time.Now().After(deadline) {
			return found, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func compareCounts(ballot string, want, got map[string]int64) []pgledger.Finding {
	names := maps.Clone(want)
	maps.Copy(names, got)
	var found []pgledger.Finding
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if want[name] != got[name] {
			found = append(found, pgledger.Finding{
				Check: "redis", Ballot: ballot, Row: name, Want: want[name], Got: got[name],
				Text: fmt.Sprintf("the ledger adds up to %d, Redis counts %d", want[name], got[name]),
			})
		}
	}
	return found
}
