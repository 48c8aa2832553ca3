package dbmove

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// maxBehind is how far the second persister group may be behind at the switch: what it has not applied yet the target's
// counts lack for as long.
const maxBehind = 30 * time.Second

// Switch makes the source read-only, brings the rest over, compares, and opens the target. On any error the source takes
// writes again.
func (m *Move) Switch(ctx context.Context, since time.Time) (Comparison, error) {
	if err := m.mayswitch(ctx); err != nil {
		return Comparison{}, err
	}
	if err := freeze(ctx, m.From); err != nil {
		return Comparison{}, errors.Join(fmt.Errorf("the source: %w", err), m.goOn(context.WithoutCancel(ctx)))
	}
	m.Log("the source is read-only")
	c, err := m.finish(ctx, since)
	if err != nil {
		return c, errors.Join(err, m.goOn(context.WithoutCancel(ctx)))
	}
	return c, nil
}

func (m *Move) mayswitch(ctx context.Context) error {
	here, err := m.isCopy(ctx)
	if err != nil {
		return err
	}
	there, err := readRow(ctx, m.From)
	if err != nil {
		return fmt.Errorf("the source: %w", err)
	}
	if there.Mode != "redis" || there.State != "open" {
		return fmt.Errorf("the source's epoch %d is %s in %s: try again when votes are decided in Redis", there.Epoch, there.State, there.Mode)
	}
	if here.Epoch != there.Epoch {
		return fmt.Errorf("the target follows epoch %d, the source has %d: run `dbmove follow` first", here.Epoch, there.Epoch)
	}
	behind, err := m.behind(ctx)
	if err != nil {
		return err
	}
	if behind < 0 || behind > maxBehind {
		return errors.New("the second persister group has not caught up: start a persister on the target, as `dbmove --help` says, and wait")
	}
	return nil
}

// freeze lets nobody write any more who does not insist: neither those that connect from now on, nor those that are
// connected. To the services the server then looks like a replica, and they go to another host of their URL.
func freeze(ctx context.Context, db *pgxpool.Pool) error {
	if err := readOnly(ctx, db, "SET default_transaction_read_only = on"); err != nil {
		return err
	}
	var since time.Time
	if err := db.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&since); err != nil {
		return fmt.Errorf("make it read-only: %w", err)
	}
	for {
		var writers int
		err := db.QueryRow(ctx, `
			SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE datname = current_database() AND backend_type = 'client backend' AND backend_start < $1 AND application_name <> $2`,
			since, applicationName).Scan(&writers)
		if err != nil {
			return fmt.Errorf("end its connections: %w", err)
		}
		if writers == 0 {
			return nil
		}
	}
}

func thaw(ctx context.Context, db *pgxpool.Pool) error {
	return readOnly(ctx, db, "RESET default_transaction_read_only")
}

func readOnly(ctx context.Context, db *pgxpool.Pool, setting string) error {
	_, err := db.Exec(ctx, "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I "+setting+"', current_database()); END $$")
	if err != nil {
		return fmt.Errorf("change whether it is read-only: %w", err)
	}
	return nil
}

// goOn lets the source take writes again.
func (m *Move) goOn(ctx context.Context) error {
	if err := thaw(ctx, m.From); err != nil {
		return fmt.Errorf("the source stays read-only: %w", err)
	}
	m.Log("the source takes writes again")
	return nil
}

// finish makes the target the ledger.
func (m *Move) finish(ctx context.Context, since time.Time) (Comparison, error) {
	var c Comparison
	err := m.snapshot(ctx, func(from pgx.Tx) error {
		all, err := missing(ctx, from, m.To, since)
		if err != nil {
			return err
		}
		if err := m.bring(ctx, from, newBallots); err != nil {
			return err
		}
		if err := m.carry(ctx, from, all); err != nil {
			return err
		}
		m.Log("%d batches carried", len(all))
		return m.bringRest(ctx, from)
	})
	if err != nil {
		return c, err
	}
	if c, err = m.Compare(ctx, time.Now().Add(maxAge)); err != nil {
		return c, err
	}
	if len(c.Wrong) > 0 {
		return c, fmt.Errorf("the target is not the same:\n  %s\nbegin anew with `dbmove start --again`", strings.Join(c.Wrong, "\n  "))
	}
	return c, m.open(ctx)
}

// bringRest replaces what batches do not make, and merges what they make in part.
func (m *Move) bringRest(ctx context.Context, from pgx.Tx) error {
	all, err := tables(ctx, m.To)
	if err != nil {
		return err
	}
	whole := slices.DeleteFunc(slices.Clone(all), func(t table) bool { return slices.Contains(fromBatches, t.name) })
	return pgx.BeginFunc(ctx, m.To, func(to pgx.Tx) error {
		if _, err := to.Exec(ctx, "TRUNCATE "+names(whole)); err != nil {
			return fmt.Errorf("empty what is replaced: %w", err)
		}
		for _, t := range whole {
			if _, err := copyTable(ctx, from, to, t, t.name); err != nil {
				return err
			}
		}
		for _, t := range all {
			if statement, merged := merges[t.name]; merged {
				if err := merge(ctx, from, to, t, statement); err != nil {
					return err
				}
			}
		}
		if err := leases(ctx, from, to); err != nil {
			return err
		}
		return setSequences(ctx, to)
	})
}

// merges are for tables that both sides write. The uses of tickets come from batches, everything else of them from the
// source.
var merges = map[string]string{
	"tickets": `
		INSERT INTO tickets (ballot, version, value, cap, created_at, expires_at)
		SELECT ballot, version, value, cap, created_at, expires_at FROM brought
		ON CONFLICT (ballot, version) DO UPDATE
		SET value = excluded.value, cap = excluded.cap, created_at = excluded.created_at, expires_at = excluded.expires_at
		WHERE tickets.created_at IS NULL`,
	"ticket_history": "INSERT INTO ticket_history SELECT * FROM brought ON CONFLICT DO NOTHING",
	"dropped_batches": `
		INSERT INTO dropped_batches SELECT * FROM brought b
		WHERE NOT EXISTS (SELECT FROM applied_batches a WHERE a.batch_id = b.batch_id) ON CONFLICT DO NOTHING`,
}

// leases carries the leases of the source's participants over, in the target's time: until they are over, or their processes
// are started again, an epoch that ends waits for them.
func leases(ctx context.Context, from, to pgx.Tx) error {
	rows, err := from.Query(ctx, "SELECT id, service, epoch, stopped, lease_until - now() FROM participants WHERE lease_until > now()")
	if err != nil {
		return fmt.Errorf("read the leases: %w", err)
	}
	var (
		id, service string
		epoch       int64
		stopped     bool
		rest        time.Duration
	)
	batch := &pgx.Batch{}
	if _, err := pgx.ForEachRow(rows, []any{&id, &service, &epoch, &stopped, &rest}, func() error {
		batch.Queue(`
			INSERT INTO participants (id, service, epoch, stopped, lease_until, beat_at)
			VALUES ($1, $2, $3, $4, clock_timestamp() + $5::interval, 'epoch')`, id, service, epoch, stopped, rest)
		return nil
	}); err != nil {
		return fmt.Errorf("read the leases: %w", err)
	}
	if err := to.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("carry the leases over: %w", err)
	}
	return nil
}

// open lets votes be decided under the target's row.
func (m *Move) open(ctx context.Context) error {
	if _, err := m.To.Exec(ctx, "UPDATE ledger_epoch SET state = 'open', changed_at = now()"); err != nil {
		return fmt.Errorf("open the target: %w", err)
	}
	if err := thaw(ctx, m.To); err != nil {
		return fmt.Errorf("the target: %w", err)
	}
	return nil
}

// Back undoes a switch, as long as no process has begun to work on the target.
func (m *Move) Back(ctx context.Context) error {
	err := pgx.BeginFunc(ctx, m.To, func(to pgx.Tx) error {
		if _, err := to.Exec(ctx, "LOCK TABLE ledger_epoch, participants IN EXCLUSIVE MODE"); err != nil {
			return err
		}
		here, err := readRow(ctx, to)
		if err != nil {
			return err
		}
		there, err := readRow(ctx, m.From)
		if err != nil {
			return err
		}
		var working int
		if err := to.QueryRow(ctx, "SELECT count(*) FROM participants WHERE beat_at > 'epoch'").Scan(&working); err != nil {
			return err
		}
		if working > 0 || here.Epoch != there.Epoch {
			return fmt.Errorf("%d processes work on the target, in epoch %d: move the ledger back with --from and --to the other way round", working, here.Epoch)
		}
		_, err = to.Exec(ctx, "UPDATE ledger_epoch SET state = $1", stateMoving)
		return err
	})
	if err != nil {
		return err
	}
	if err := freeze(ctx, m.To); err != nil {
		return fmt.Errorf("the target: %w", err)
	}
	return m.goOn(ctx)
}
