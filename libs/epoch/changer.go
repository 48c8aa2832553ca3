package epoch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
)

// Log is the topic of the votes, as far as a change of epoch needs it.
type Log interface {
	// EndOffsets returns the topic's id and, per partition, the offset after its last record.
	EndOffsets(ctx context.Context) (uuid.UUID, map[int32]int64, error)
}

// Changer opens an epoch when none is open, and changes it when Redis lost the state of the open one. Every
// vote-service runs one; whoever comes first does it.
type Changer struct {
	pool       *pgxpool.Pool
	ledger     *redisledger.Ledger
	topic      Log
	replicated bool // the setting: a replica of Redis may exist that we do not see
	log        *slog.Logger
	changed    func() // called after each look, for those who wait for a change
}

// NewChanger returns a changer; changed is called whenever the row may have changed.
func NewChanger(
	pool *pgxpool.Pool, ledger *redisledger.Ledger, topic Log, replicated bool, changed func(), log *slog.Logger,
) *Changer {
	return &Changer{pool: pool, ledger: ledger, topic: topic, replicated: replicated, changed: changed, log: log}
}

// Run looks every interval, and at once when kicked, until ctx ends.
func (c *Changer) Run(ctx context.Context, interval time.Duration, kick <-chan struct{}) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	last := ""
	for {
		err := c.look(ctx)
		if err != nil && ctx.Err() == nil && err.Error() != last {
			c.log.WarnContext(ctx, "the epoch cannot be opened or changed now; trying again", "error", err)
			last = err.Error()
		}
		if err == nil {
			last = ""
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-kick:
		}
	}
}

// look does whatever the row and Redis ask for.
func (c *Changer) look(ctx context.Context) error {
	row, err := pgledger.CurrentEpoch(ctx, c.pool)
	if errors.Is(err, pgledger.ErrNoEpoch) {
		row, err = c.begin(ctx)
	}
	if err != nil {
		return err
	}
	if row.State == stateOpen {
		lost, err := c.lost(ctx, row)
		if err != nil || !lost {
			return err
		}
		c.log.WarnContext(ctx, "Redis lost the epoch's state", "epoch", row.Number)
		if err := c.end(ctx, row, "Redis lost its state"); err != nil {
			return err
		}
	}
	defer c.changed()
	return c.change(ctx, row)
}

// begin writes the first row: an epoch in which nothing ever happened is ending. Its number is the time, so that records
// of an earlier life of the topic, with another Postgres, are of epochs that are over.
func (c *Changer) begin(ctx context.Context) (pgledger.Epoch, error) {
	_, err := c.pool.Exec(ctx, `
		INSERT INTO ledger_epoch (epoch, mode, state, ns, replid, replicated, reason)
		VALUES (extract(epoch FROM now())::bigint, 'redis', 'ending', '', '', false, 'none was ever open') ON CONFLICT DO NOTHING`)
	if err != nil {
		return pgledger.Epoch{}, fmt.Errorf("epoch: begin: %w", err)
	}
	return pgledger.CurrentEpoch(ctx, c.pool)
}

// lost says whether Redis answers, but no longer as the epoch's ledger.
func (c *Changer) lost(ctx context.Context, row pgledger.Epoch) (bool, error) {
	ballots, err := c.ballotsOf(ctx, row.Number)
	if err != nil {
		return false, err
	}
	for _, b := range ballots {
		err := c.ledger.Alive(ctx, fenceOf(row), b)
		if errors.Is(err, redisledger.ErrWrongEpoch) {
			return true, nil
		}
		if err != nil {
			return false, fmt.Errorf("epoch: Redis does not answer: %w", err)
		}
	}
	return false, nil
}

func (c *Changer) ballotsOf(ctx context.Context, epoch int64) ([]string, error) {
	rows, err := c.pool.Query(ctx, "SELECT ballot FROM ballot_ns WHERE epoch = $1 ORDER BY ballot", epoch)
	if err != nil {
		return nil, fmt.Errorf("epoch: ballots: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// end marks the epoch as ending, unless somebody has already done that or more.
func (c *Changer) end(ctx context.Context, row pgledger.Epoch, reason string) error {
	err := locked(ctx, c.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			UPDATE ledger_epoch SET state = 'ending', reason = $2, changed_at = now()
			WHERE epoch = $1 AND state = 'open'`, row.Number, reason)
		return err
	})
	if err != nil {
		return fmt.Errorf("epoch: end %d: %w", row.Number, err)
	}
	return nil
}

// change carries the ledger from an ending epoch to the next.
func (c *Changer) change(ctx context.Context, row pgledger.Epoch) error {
	started := time.Now()
	if err := c.barrier(ctx, row); err != nil {
		return err
	}
	if err := c.drain(ctx); err != nil {
		return err
	}
	next, err := c.open(ctx, row)
	if err != nil || next.Number == 0 {
		return err
	}
	c.log.InfoContext(ctx, "epoch is loaded", "epoch", next.Number, "took", time.Since(started))
	if row.NS != "" {
		if err := c.ledger.Unlink(ctx, row.NS); err != nil {
			c.log.WarnContext(ctx, "the old epoch's keys stay", "ns", row.NS, "error", err)
		}
	}
	return nil
}

// barrier waits until nobody can acknowledge in the ending epoch any more.
func (c *Changer) barrier(ctx context.Context, row pgledger.Epoch) error {
	for told := false; ; {
		var waiting []string
		rows, err := c.pool.Query(ctx, `
			SELECT service || ' ' || id FROM participants
			WHERE epoch = $1 AND NOT stopped AND lease_until > now()`, row.Number)
		if err == nil {
			waiting, err = pgx.CollectRows(rows, pgx.RowTo[string])
		}
		if err != nil {
			return fmt.Errorf("epoch: barrier: %w", err)
		}
		if len(waiting) == 0 {
			return nil
		}
		if sealed, err := c.sealedOff(ctx, row); err != nil || sealed {
			return err
		}
		if !told {
			c.log.InfoContext(ctx, "waiting for participants to stop or lose their lease", "participants", waiting)
			told = true
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// sealedOff is the short way through the barrier, for a Redis without replicas: once the only node that ever held the
// epoch says that it does not, nobody gets anything else from it. With a replica an old primary may still serve somebody.
func (c *Changer) sealedOff(ctx context.Context, row pgledger.Epoch) (bool, error) {
	if c.replicated || row.Replicated {
		return false, nil
	}
	r, err := c.ledger.Replication(ctx)
	if err != nil {
		return false, fmt.Errorf("epoch: Redis does not answer: %w", err)
	}
	if row.ReplID != "" && r.ReplID != row.ReplID {
		return true, nil
	}
	ballots, err := c.ballotsOf(ctx, row.Number)
	if err != nil {
		return false, err
	}
	for _, b := range ballots {
		if err := c.ledger.Seal(ctx, fenceOf(row), b); err != nil {
			return false, fmt.Errorf("epoch: seal %s: %w", b, err)
		}
	}
	return true, nil
}

// drain waits until Postgres holds every record that stands in the log now.
func (c *Changer) drain(ctx context.Context) error {
	topic, ends, err := c.topic.EndOffsets(ctx)
	if err != nil {
		return fmt.Errorf("epoch: end offsets: %w", err)
	}
	for told := false; ; {
		behind, err := c.behind(ctx, topic, ends)
		if err != nil {
			return err
		}
		if behind == 0 {
			return nil
		}
		if !told {
			c.log.InfoContext(ctx, "waiting for the persister", "records", behind)
			told = true
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// behind returns how many records up to ends are not applied yet.
func (c *Changer) behind(ctx context.Context, topic uuid.UUID, ends map[int32]int64) (int64, error) {
	rows, err := c.pool.Query(ctx, "SELECT partition, next FROM offsets WHERE topic_id = $1", topic)
	if err != nil {
		return 0, fmt.Errorf("epoch: offsets: %w", err)
	}
	next := map[int32]int64{}
	var (
		partition int32
		offset    int64
	)
	if _, err := pgx.ForEachRow(rows, []any{&partition, &offset}, func() error {
		next[partition] = offset
		return nil
	}); err != nil {
		return 0, fmt.Errorf("epoch: offsets: %w", err)
	}
	var behind int64
	for p, end := range ends {
		behind += max(0, end-next[p])
	}
	return behind, nil
}
