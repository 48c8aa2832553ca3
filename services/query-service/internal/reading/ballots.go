package reading

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/pgledger"
)

// ballots is the directory of ballots, each with the reads that wait for it.
type ballots struct {
	pool *pgxpool.Pool
	open func(pgledger.Ballot) *shelf
	log  *slog.Logger

	mu    sync.RWMutex
	names map[string]*shelf
}

func (d *ballots) find(name string) *shelf {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.names[name]
}

func (d *ballots) all() []*shelf {
	d.mu.RLock()
	defer d.mu.RUnlock()
	list := make([]*shelf, 0, len(d.names))
	for _, s := range d.names {
		list = append(list, s)
	}
	return list
}

func (d *ballots) ready(context.Context) error {
	if len(d.all()) == 0 {
		return errors.New("the ballots are not read yet")
	}
	return nil
}

// run adds ballots that are new, until ctx ends; while Postgres is away the ballots stay as they are.
func (d *ballots) run(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		list, err := pgledger.Ballots(ctx, d.pool)
		if err != nil && ctx.Err() == nil {
			d.log.WarnContext(ctx, "the ballots could not be read", "error", err)
		}
		d.mu.Lock()
		for _, rules := range list {
			if d.names[rules.Name] == nil {
				d.names[rules.Name] = d.open(rules)
			}
		}
		d.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
