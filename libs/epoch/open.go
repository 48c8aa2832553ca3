package epoch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/littlevote/littlevote/libs/faultpoint"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
)

// loadTimeout bounds how long a load may hold up everybody who wants to read the row.
const loadTimeout = 30 * time.Second

// openRedis loads the ledger into Redis under a fresh name and opens the next epoch on it, all while the row is held:
// until that is over nothing can be applied or decided in Postgres, and nobody knows the name. A load that fails, or
// whose process dies, leaves the row as it was.
func (c *Changer) openRedis(ctx context.Context, row pgledger.Epoch, started time.Time) error {
	var loaded string
	next, err := c.Store.OpenRedis(ctx, row, func(ctx context.Context, number int64, ballots []Loadable) (pgledger.Epoch, error) {
		opened, err := c.load(ctx, number, ballots)
		loaded = opened.NS
		return opened, err
	})
	c.Me.Suspect()
	if err != nil {
		if loaded != "" {
			c.unnamed = append(c.unnamed, loaded)
		}
		return fmt.Errorf("epoch: open %d in Redis: %w", row.Number+1, err)
	}
	if next.Number == 0 {
		return nil // somebody else was first
	}
	c.Log.InfoContext(ctx, "epoch is loaded", "epoch", next.Number, "took", time.Since(started))
	if row.NS != "" {
		c.forget(ctx, row.NS)
	}
	return nil
}

// load writes every ballot into Redis and returns the row that names them.
func (c *Changer) load(ctx context.Context, number int64, ballots []Loadable) (pgledger.Epoch, error) {
	r, err := c.Redis.Replication(ctx)
	if err != nil {
		return pgledger.Epoch{}, err
	}
	if !r.Master {
		return pgledger.Epoch{}, errors.New("this Redis is a replica")
	}
	next := pgledger.Epoch{
		Number:     number,
		Mode:       string(Redis),
		State:      stateOpen,
		NS:         redisledger.NewNS(),
		Replicated: r.Replicas,
	}
	for i, b := range ballots {
		if i == len(ballots)/2 {
			faultpoint.Hit("epoch.loading")
		}
		if err := c.Redis.Load(ctx, ledgerOf(next).Fence(), b, b.Admissions == 0); err != nil {
			return next, err
		}
	}
	faultpoint.Hit("epoch.loaded")
	return next, nil
}

// sweep deletes what earlier loads left that failed. Not at once: a COMMIT without an answer may still name them, but not
// any more when another epoch has come after.
func (c *Changer) sweep(ctx context.Context, open pgledger.Epoch) {
	for _, ns := range c.unnamed {
		if ns != open.NS {
			c.forget(ctx, ns)
		}
	}
	c.unnamed = nil
}

// forget deletes the keys of a name that no epoch has any more.
func (c *Changer) forget(ctx context.Context, ns string) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	if err := c.Redis.Unlink(ctx, ns); err != nil {
		c.Log.WarnContext(ctx, "the keys of an epoch that is over stay in Redis", "ns", ns, "error", err)
	}
}
