package dbmove

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// grace is how long a batch may be on its way over the log before it is carried: nothing is wrong with carrying it sooner,
// it is only work done twice.
const grace = 10 * time.Second

// Progress is what a look came to.
type Progress struct {
	Epoch   int64         `json:"epoch"`
	Behind  time.Duration `json:"behind_ns"` // the second persister group, by the clock of the target; -1: it never was there
	Carried int           `json:"carried"`   // batches that did not come over the log
	Left    int           `json:"left"`      // batches of the source that are still to come over the log
}

// Follow brings over, once, what the log does not carry.
func (m *Move) Follow(ctx context.Context, since time.Time) (Progress, error) {
	here, err := m.isCopy(ctx)
	if err != nil {
		return Progress{}, err
	}
	behind, err := m.behind(ctx)
	if err != nil {
		return Progress{}, err
	}
	p := Progress{Behind: behind}
	err = m.snapshot(ctx, func(from pgx.Tx) error {
		there, err := readRow(ctx, from)
		if err != nil {
			return fmt.Errorf("the source: %w", err)
		}
		if err := m.bring(ctx, from, newBallots); err != nil {
			return err
		}
		final, err := m.finalBallots(ctx, from)
		if err != nil {
			return err
		}
		all, err := missing(ctx, from, m.To, since)
		if err != nil {
			return err
		}
		due := all
		if !final && here.Epoch == there.Epoch {
			due = slices.DeleteFunc(slices.Clone(all), func(a applied) bool {
				return behind < 0 || behind > grace || time.Since(a.madeAt()) < grace
			})
		}
		if err := m.carry(ctx, from, due); err != nil {
			return err
		}
		p.Epoch, p.Carried, p.Left = there.Epoch, len(due), len(all)-len(due)
		return m.advance(ctx, from, here, there, p.Left == 0)
	})
	return p, err
}

// behind is how long ago the second persister group had applied everything; negative if it never had.
func (m *Move) behind(ctx context.Context) (time.Duration, error) {
	var seconds *float64
	err := m.To.QueryRow(ctx, `
		SELECT extract(epoch FROM clock_timestamp() - min(caught_up_at))::float8 FROM offsets HAVING min(caught_up_at) > 'epoch'`).Scan(&seconds)
	if err == pgx.ErrNoRows || err == nil && seconds == nil { //nolint:errorlint // QueryRow returns it as it is
		return -1, nil
	}
	if err != nil {
		return 0, fmt.Errorf("the target's progress: %w", err)
	}
	return time.Duration(*seconds * float64(time.Second)), nil
}

// finalBallots says whether the source has certified a ballot that the target has not: after that the target would drop
// what belongs to it, so everything has to be there first.
func (m *Move) finalBallots(ctx context.Context, from pgx.Tx) (bool, error) {
	const certified = "SELECT count(*) FROM ballots WHERE state = 'certified'"
	var there, here int
	if err := from.QueryRow(ctx, certified).Scan(&there); err != nil {
		return false, fmt.Errorf("the source's ballots: %w", err)
	}
	if err := m.To.QueryRow(ctx, certified).Scan(&here); err != nil {
		return false, fmt.Errorf("the target's ballots: %w", err)
	}
	return there != here, nil
}

// advance lets the target's epoch and ballots follow those of the source, where everything that depends on them is there.
func (m *Move) advance(ctx context.Context, from pgx.Tx, here, there row, complete bool) error {
	if complete {
		if err := m.bring(ctx, from, changedBallots); err != nil {
			return err
		}
	}
	if here.Epoch == there.Epoch {
		return nil
	}
	return m.bring(ctx, from, epochTables)
}

// part is rows that are brought over by way of a temporary table.
type part struct {
	table string
	merge string // from the temporary table "brought"
}

// newBallots come before the votes for them.
func newBallots(columns map[string]string) []part {
	return []part{{"ballots", "INSERT INTO ballots (" + columns["ballots"] + ") SELECT " + columns["ballots"] + " FROM brought ON CONFLICT DO NOTHING"}}
}

func changedBallots(columns map[string]string) []part {
	return []part{{"ballots", `
		UPDATE ballots SET (` + columns["ballots"] + `) = (SELECT ` + columns["ballots"] + ` FROM brought b WHERE b.ballot = ballots.ballot)
		WHERE EXISTS (SELECT FROM brought b WHERE b.ballot = ballots.ballot AND b IS DISTINCT FROM ballots)`}}
}

// epochTables are the row of the epoch, and what belongs to it.
func epochTables(columns map[string]string) []part {
	insert := func(table string) part {
		return part{table, "INSERT INTO " + table + " (" + columns[table] + ") SELECT " + columns[table] + " FROM brought ON CONFLICT DO NOTHING"}
	}
	return []part{
		insert("ballot_ns"), insert("epoch_base"),
		{"ledger_epoch", "UPDATE ledger_epoch SET (" + columns["ledger_epoch"] + ") = (SELECT " + columns["ledger_epoch"] + " FROM brought)"},
		{"ledger_epoch", "UPDATE ledger_epoch SET state = '" + stateMoving + "'"},
	}
}

// bring merges rows of the source into the target, in one transaction.
func (m *Move) bring(ctx context.Context, from pgx.Tx, parts func(columns map[string]string) []part) error {
	all, err := tables(ctx, m.To)
	if err != nil {
		return err
	}
	columns, byName := map[string]string{}, map[string]table{}
	for _, t := range all {
		columns[t.name], byName[t.name] = join(t.columns), t
	}
	return pgx.BeginFunc(ctx, m.To, func(to pgx.Tx) error {
		for _, p := range parts(columns) {
			if err := merge(ctx, from, to, byName[p.table], p.merge); err != nil {
				return err
			}
		}
		return nil
	})
}

func merge(ctx context.Context, from, to pgx.Tx, t table, statement string) error {
	if _, err := to.Exec(ctx, "CREATE TEMPORARY TABLE brought ON COMMIT DROP AS SELECT "+join(t.columns)+" FROM "+t.name+" WITH NO DATA"); err != nil {
		return fmt.Errorf("bring %s: %w", t.name, err)
	}
	if _, err := copyTable(ctx, from, to, t, "brought"); err != nil {
		return err
	}
	if _, err := to.Exec(ctx, statement); err != nil {
		return fmt.Errorf("bring %s: %w", t.name, err)
	}
	if _, err := to.Exec(ctx, "DROP TABLE brought"); err != nil {
		return fmt.Errorf("bring %s: %w", t.name, err)
	}
	return nil
}
