package voting

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
)

// dueAtOnce bounds how many batches of one ballot are taken over per look.
const dueAtOnce = 100

// recover finishes batches whose owner did not within its lease, of any instance, until ctx ends.
func (e *Engine) recover(ctx context.Context) {
	ticker := time.NewTicker(e.cfg.Refresh)
	defer ticker.Stop()
	for {
		for _, b := range e.ballots.all() {
			if err := e.recoverBallot(ctx, b); err != nil && ctx.Err() == nil {
				e.logger.WarnContext(ctx, "the outbox could not be looked after", "ballot", b.rules.Name, "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (e *Engine) recoverBallot(ctx context.Context, b *ballot) error {
	fence, ok := e.epochs.Current()
	if !ok {
		return nil
	}
	ids, _, err := e.ledger.Due(ctx, fence, b.rules.Name, e.cfg.OutboxLease, dueAtOnce)
	if errors.Is(err, redisledger.ErrWrongEpoch) {
		e.epochs.Suspect()
		return nil
	}
	for _, id := range ids {
		if err := e.drive(ctx, b, fence, id); err != nil {
			return err
		}
		e.logger.InfoContext(ctx, "finished a batch that its owner left", "ballot", b.rules.Name, "batch", id)
	}
	return err
}

// drive pushes a batch forward: claim, make durable, settle. Doing it twice is harmless. nil means that it is settled.
func (e *Engine) drive(ctx context.Context, b *ballot, fence redisledger.Fence, id uuid.UUID) error {
	claimed, how, err := e.ledger.Claim(ctx, fence, b.rules.Name, id, e.cfg.Instance)
	if err != nil {
		return err
	}
	if claimed == nil {
		if how == redisledger.Settled {
			return nil
		}
		return fmt.Errorf("batch %s left the outbox: %q", id, how)
	}
	n, err := takenOver(id, b, fence, claimed)
	if err != nil {
		return err
	}
	n.lane = e.lane.Add(1)
	// It may have waited for longer than Redis remembers its keys, and Postgres learns of them later still.
	if keys := n.keys(); len(keys) > 0 {
		if err := e.ledger.Remember(ctx, fence, b.rules.Name, id, keys); err != nil {
			return err
		}
	}
	if _, err := e.log.produce(ctx, n); err != nil {
		verdict, applyErr := e.apply(ctx, n)
		if applyErr != nil {
			return errors.Join(err, applyErr)
		}
		if verdict != pgledger.Applied && verdict != pgledger.Duplicate {
			return fmt.Errorf("batch %s came too late to count", id)
		}
	}
	return e.ledger.Settle(ctx, n.settlement()).Err
}
