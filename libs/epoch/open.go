package epoch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
)

// loadTimeout bounds how long the load may hold up everybody who wants to read the row.
const loadTimeout = 30 * time.Second

// open loads the ledger into Redis under a fresh name and opens the next epoch on it, all in one transaction that holds
// the row: until it commits, nothing can be applied to Postgres and nobody knows the name. A zero Epoch means that
// somebody else was first.
func (c *Changer) open(ctx context.Context, old pgledger.Epoch) (pgledger.Epoch, error) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	var next pgledger.Epoch
	err := locked(ctx, c.pool, func(tx pgx.Tx) error {
		row, err := pgledger.CurrentEpoch(ctx, tx)
		if err != nil {
			return err
		}
		if row.Number != old.Number || row.State != stateEnding {
			return nil
		}
		loaded, err := c.load(ctx, tx, old)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			UPDATE ledger_epoch SET epoch = $1, mode = 'redis', state = 'open', ns = $2, replid = $3, replicated = $4,
				reason = 'loaded from Postgres', changed_at = now()`,
			loaded.Number, loaded.NS, loaded.ReplID, loaded.Replicated)
		next = loaded
		return err
	})
	if err != nil {
		return pgledger.Epoch{}, fmt.Errorf("epoch: open %d: %w", old.Number+1, err)
	}
	return next, nil
}

// load writes every ballot into Redis and returns the row that names it.
func (c *Changer) load(ctx context.Context, tx pgx.Tx, old pgledger.Epoch) (pgledger.Epoch, error) {
	before, err := c.ledger.Replication(ctx)
	if err != nil {
		return pgledger.Epoch{}, err
	}
	if !before.Master {
		return pgledger.Epoch{}, errors.New("this Redis is a replica")
	}
	next := pgledger.Epoch{
		Number:     old.Number + 1,
		Mode:       modeRedis,
		State:      stateOpen,
		NS:         redisledger.NewNS(),
		ReplID:     before.ReplID,
		Replicated: before.Replicas,
	}
	ballots, err := ballots(ctx, tx)
	if err != nil {
		return pgledger.Epoch{}, err
	}
	for _, b := range ballots {
		if err := c.ledger.Load(ctx, fenceOf(next), b, old.NS == ""); err != nil {
			return pgledger.Epoch{}, err
		}
		if _, err := tx.Exec(ctx, "INSERT INTO ballot_ns (epoch, ballot) VALUES ($1, $2)", next.Number, b.Name); err != nil {
			return pgledger.Epoch{}, err
		}
	}
	after, err := c.ledger.Replication(ctx)
	if err != nil {
		return pgledger.Epoch{}, err
	}
	if after.ReplID != before.ReplID {
		return pgledger.Epoch{}, errors.New("a restart or failover of Redis came between")
	}
	return next, nil
}

// ballots reads every ballot with its counts.
func ballots(ctx context.Context, tx pgx.Tx) ([]redisledger.Ballot, error) {
	rows, err := tx.Query(ctx, `
		SELECT b.ballot, b.state, b.opens_at, b.closes_at, coalesce(max(v.version), 0)
		FROM ballots b LEFT JOIN user_votes v USING (ballot) GROUP BY b.ballot ORDER BY b.ballot`)
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (redisledger.Ballot, error) {
		var (
			b             redisledger.Ballot
			opens, closes *time.Time
		)
		err := row.Scan(&b.Name, &b.State, &opens, &closes, &b.Admissions)
		if opens != nil {
			b.OpensAt = *opens
		}
		if closes != nil {
			b.ClosesAt = *closes
		}
		return b, err
	})
	if err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].Counts, err = counts(ctx, tx, list[i].Name); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func counts(ctx context.Context, tx pgx.Tx, ballot string) ([]redisledger.Count, error) {
	rows, err := tx.Query(ctx, "SELECT username, votes, updated_at FROM user_votes WHERE ballot = $1", ballot)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (redisledger.Count, error) {
		var c redisledger.Count
		err := row.Scan(&c.Name, &c.Votes, &c.UpdatedAt)
		return c, err
	})
}
