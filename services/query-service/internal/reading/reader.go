// Package reading finds the counts of a ballot: in Redis while an epoch is open there, else in Postgres.
package reading

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
)

// Epochs says which ledger may be read now, and whether what it said may still be told.
type Epochs interface {
	Current() (redisledger.Fence, bool)
	Live(f redisledger.Fence) bool
	Suspect()
}

// Reader reads from one store after the other.
type Reader struct {
	ledger  *redisledger.Ledger
	epochs  Epochs
	replica *pgxpool.Pool // nil: there is none
	primary *pgxpool.Pool
	timeout time.Duration // per Postgres server
	log     *slog.Logger
}

// NewReader returns a reader.
func NewReader(
	ledger *redisledger.Ledger, epochs Epochs, replica, primary *pgxpool.Pool, timeout time.Duration, log *slog.Logger,
) *Reader {
	return &Reader{ledger: ledger, epochs: epochs, replica: replica, primary: primary, timeout: timeout, log: log}
}

// counts is what a store said of a ballot.
type counts struct {
	list   []redisledger.Count // in the order of the names asked for; by name, if all were asked for
	source queryv1.Source
	asOf   time.Time
}

// errNotOpen says that no epoch is open in Redis, as far as this process may believe.
var errNotOpen = errors.New("no epoch is open in Redis")

// read returns the counts of the names, or of every name of the ballot if there are none.
func (r *Reader) read(ctx context.Context, ballot string, names []string) (counts, error) {
	c, err := r.fromRedis(ctx, ballot, names)
	if err == nil {
		return c, nil
	}
	causes := []error{fmt.Errorf("redis: %w", err)}
	if r.replica != nil {
		c, err := r.fromPostgres(ctx, r.replica, ballot, names)
		c.source = queryv1.Source_SOURCE_POSTGRES_REPLICA
		if err == nil {
			return c, nil
		}
		causes = append(causes, fmt.Errorf("replica: %w", err))
	}
	c, err = r.fromPostgres(ctx, r.primary, ballot, names)
	c.source = queryv1.Source_SOURCE_POSTGRES_PRIMARY
	if err == nil {
		return c, nil
	}
	return counts{}, errors.Join(append(causes, fmt.Errorf("primary: %w", err))...)
}

func (r *Reader) fromRedis(ctx context.Context, ballot string, names []string) (counts, error) {
	fence, ok := r.epochs.Current()
	if !ok {
		return counts{}, errNotOpen
	}
	list, asOf, err := r.ledger.Tally(ctx, fence, ballot, names)
	if errors.Is(err, redisledger.ErrWrongEpoch) {
		r.epochs.Suspect()
	}
	if err != nil {
		return counts{}, err
	}
	if !r.epochs.Live(fence) {
		return counts{}, errNotOpen
	}
	if len(names) == 0 {
		sortByName(list)
	}
	return counts{list: list, source: queryv1.Source_SOURCE_REDIS, asOf: asOf}, nil
}

func (r *Reader) fromPostgres(ctx context.Context, pool *pgxpool.Pool, ballot string, names []string) (counts, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	var all []string
	if len(names) > 0 {
		all = names
	}
	rows, err := pgledger.Tallies(ctx, pool, ballot, all)
	if err != nil {
		return counts{}, err
	}
	found := make(map[string]redisledger.Count, len(rows))
	c := counts{asOf: time.Now(), list: make([]redisledger.Count, 0, max(len(names), len(rows)))}
	for _, t := range rows {
		found[t.Username] = redisledger.Count{Name: t.Username, Votes: t.Votes, UpdatedAt: t.UpdatedAt}
	}
	for _, n := range names {
		row := found[n]
		row.Name = n
		c.list = append(c.list, row)
	}
	if len(names) == 0 {
		for _, row := range found {
			c.list = append(c.list, row)
		}
		sortByName(c.list)
	}
	return c, nil
}

func sortByName(list []redisledger.Count) {
	slices.SortFunc(list, func(a, b redisledger.Count) int { return cmp.Compare(a.Name, b.Name) })
}
