package voting

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/tracing"
)

// dueAtOnce bounds how many batches of one ballot are taken over per look.
const dueAtOnce = 100

// recover finishes batches whose owner did not within its lease, of any instance, until ctx ends.
func (e *Engine) recover(ctx context.Context) {
	ticker := time.NewTicker(e.cfg.Refresh)
	defer ticker.Stop()
	failing := false
	for {
		var err error
		for _, b := range e.ballots.all() {
			if failed := e.recoverBallot(ctx, b); failed != nil {
				err = errors.Join(err, fmt.Errorf("ballot %s: %w", b.name, failed))
			}
		}
		if err != nil && ctx.Err() == nil && !failing {
			e.Log.WarnContext(ctx, "the outbox cannot be looked after now; still trying", "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (e *Engine) recoverBallot(ctx context.Context, b *ballot) error {
	ledger, ok := e.Epochs.Current()
	if !ok || ledger.Mode != epoch.Redis {
		b.oldest.Store(0)
		return nil
	}
	ids, oldest, err := e.Redis.Due(ctx, ledger.Fence(), b.name, e.cfg.OutboxLease, dueAtOnce)
	b.oldest.Store(int64(oldest))
	if errors.Is(err, redisledger.ErrWrongEpoch) {
		e.Epochs.Suspect()
		return nil
	}
	if oldest > e.cfg.OutboxAge {
		return e.EndEpoch(ctx, fmt.Sprintf("a batch of %s has stood in the outbox for %s", b.name, oldest))
	}
	for _, id := range ids {
		if err := e.drive(ctx, b, ledger, id); err != nil {
			return err
		}
		e.Log.InfoContext(ctx, "finished a batch that its owner left", "ballot", b.name, "batch", id)
	}
	return err
}

// drive pushes a batch forward: claim, make durable, settle. Doing it twice is harmless. nil means that it is settled.
func (e *Engine) drive(ctx context.Context, b *ballot, ledger epoch.Ledger, id uuid.UUID) error {
	ctx, span := e.startRecovery(ctx, b, id)
	err := e.push(ctx, b, ledger, id)
	tracing.End(span, err)
	return err
}

// startRecovery begins the span of a batch that is pushed forward: below the vote that waits for it if one does, else a root.
func (e *Engine) startRecovery(ctx context.Context, b *ballot, id uuid.UUID) (context.Context, trace.Span) {
	const name = "recover batch"
	ctx, span := tracing.Start(ctx, name)
	if !span.IsRecording() {
		ctx, span = tracing.Root(ctx, e.Tracer, name)
	}
	if span.IsRecording() {
		span.SetAttributes(attribute.String("littlevote.ballot", b.name), attribute.String("littlevote.batch.id", id.String()),
			attribute.String("littlevote.ledger", string(epoch.Redis)))
	}
	return ctx, span
}

func (e *Engine) push(ctx context.Context, b *ballot, ledger epoch.Ledger, id uuid.UUID) error {
	claimed, how, err := e.Redis.Claim(ctx, ledger.Fence(), b.name, id, e.cfg.Instance)
	if err != nil {
		return err
	}
	if claimed == nil {
		if how == redisledger.Settled {
			return nil
		}
		return fmt.Errorf("batch %s left the outbox: %q", id, how)
	}
	n, err := takenOver(id, b, ledger, claimed)
	if err != nil {
		return err
	}
	n.lane = e.lane.Add(1)
	// It may have waited for longer than Redis remembers its keys, and Postgres learns of them later still.
	if keys := n.keys(); len(keys) > 0 {
		if err := e.Redis.Remember(ctx, ledger.Fence(), b.name, id, keys); err != nil {
			return err
		}
	}
	if _, err := e.Topic.Produce(ctx, n.record, n.lane); err != nil {
		verdict, applyErr := e.apply(ctx, n)
		if applyErr != nil {
			return errors.Join(err, applyErr)
		}
		if verdict != pgledger.Applied && verdict != pgledger.Duplicate {
			return fmt.Errorf("batch %s came too late to count", id)
		}
	}
	return e.settle(ctx, n).Err
}
