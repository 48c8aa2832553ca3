package voting

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/faultpoint"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/tracing"
)

// makeDurable brings an admitted batch into the log or, if that fails, into Postgres. false means that neither is
// certain, and that the votes have been answered.
func (e *Engine) makeDurable(n *batch) bool {
	sent, err := e.Topic.Produce(n.ctx, n.record, n.lane)
	if err == nil {
		e.durableBy(n, byLog)
		return true
	}
	n.maybeSent = n.maybeSent || sent
	return e.fallBack(n, err)
}

// fallBack applies a batch to Postgres, by the same transaction as the persister's. A copy of it that is still on its
// way through the log will be a duplicate by its id.
func (e *Engine) fallBack(n *batch, cause error) bool {
	ctx, cancel := context.WithTimeout(n.ctx, e.cfg.Timeout)
	defer cancel()
	n.again++
	verdict, err := e.apply(ctx, n)
	switch {
	case err == nil && verdict == pgledger.EpochOver:
		n.refuse(refusedAway)
		e.end(n)
		return false
	case err == nil && verdict == pgledger.Certified:
		n.refuse(refusedClosed)
		e.end(n)
		return false
	case err == nil:
		e.durableBy(n, byFallback)
		e.Log.WarnContext(ctx, "Kafka did not take a batch; Postgres did", "batch", n.id, "error", cause)
		return true
	}
	e.Log.ErrorContext(ctx, "neither Kafka nor Postgres took a batch", "batch", n.id, "kafka", cause, "postgres", err)
	if n.maybeSent && !faultpoint.Mutant("refund-maybe-sent") ||
		pgledger.CommitUnknown(err) && !faultpoint.Mutant("refund-after-commit-unknown") {
		n.refuse(unknown)
	} else {
		e.refund(ctx, n)
	}
	e.end(n)
	return false
}

// refund gives back what an admission took. Only if Redis says that it did is that a definite refusal.
func (e *Engine) refund(ctx context.Context, n *batch) {
	ok, err := e.Redis.Refund(ctx, n.ledger.Fence(), &n.request, &n.verdict)
	if err != nil || !ok {
		e.Log.ErrorContext(ctx, "a batch could not be refunded; the outbox will deliver it", "batch", n.id, "error", err)
		n.refuse(unknown)
		return
	}
	n.refuse(refusedAway)
}

// finish tells the votes of a durable batch what its settlement says.
func (e *Engine) finish(n *batch, s redisledger.SettleReply) {
	switch {
	case s.Err == nil && s.How == redisledger.Settled && e.Epochs.Live(n.ledger):
		faultpoint.Hit("vote.settled")
		n.succeed(s.Totals, s.ByThis)
		e.end(n)
	case errors.Is(s.Err, redisledger.ErrWrongEpoch) || s.Err == nil && s.How == redisledger.Settled:
		// Redis is no longer this epoch's ledger, or this process may no longer say so.
		e.Epochs.Suspect()
		e.slow.Go(func() { e.awaitEnd(n) })
	case s.Err != nil:
		e.Epochs.Suspect()
		e.slow.Go(func() { e.settleAgain(n) })
	default:
		e.Log.ErrorContext(n.ctx, "a durable batch is neither in the outbox nor settled", "batch", n.id, "how", s.How)
		n.refuse(unknown)
		e.end(n)
	}
}

// settleAgain repeats a settlement that got no answer: it happens once, however often it is asked for. An epoch that
// ends meanwhile answers instead.
func (e *Engine) settleAgain(n *batch) {
	ctx, cancel := context.WithTimeout(n.ctx, e.cfg.Timeout)
	defer cancel()
	for {
		if now, ok := e.Epochs.Current(); !ok || now != n.ledger {
			e.awaitEnd(n)
			return
		}
		n.again++
		s := e.settle(ctx, n)
		if s.Err == nil || errors.Is(s.Err, redisledger.ErrWrongEpoch) {
			e.finish(n, s)
			return
		}
		if !pause(ctx, 100*time.Millisecond) {
			n.refuse(unknown)
			e.end(n)
			return
		}
	}
}

// awaitEnd waits until the batch's epoch is over. Then Postgres knows for good whether the batch counts.
func (e *Engine) awaitEnd(n *batch) {
	ctx, cancel := context.WithTimeout(n.ctx, e.cfg.Timeout)
	defer cancel()
	defer e.end(n)
	for {
		applied, now, err := e.Store.BatchApplied(ctx, []uuid.UUID{n.id})
		if err == nil && now.Number > n.ledger.Epoch {
			if applied[n.id] {
				n.succeed(e.totalsOf(ctx, n), false)
			} else {
				n.refuse(refusedAway)
			}
			return
		}
		if !pause(ctx, 50*time.Millisecond) {
			n.refuse(unknown)
			return
		}
	}
}

// totalsOf reads the counts of a batch's candidates from Postgres, in the order of its settlement; nil if they can't be read.
func (e *Engine) totalsOf(ctx context.Context, n *batch) []int64 {
	names := n.settlement().Names
	rows, err := e.Store.Tallies(ctx, n.event.GetBallot(), names)
	if err != nil {
		return nil
	}
	counts := make(map[string]int64, len(rows))
	for _, r := range rows {
		counts[r.Username] = r.Votes
	}
	totals := make([]int64, len(names))
	for i, name := range names {
		totals[i] = counts[name]
	}
	return totals
}

// apply brings a batch into the ledger by itself, without the log.
func (e *Engine) apply(ctx context.Context, n *batch) (pgledger.Verdict, error) {
	ctx, span := startCommit(ctx, ways[byFallback])
	result, err := e.Store.Apply(ctx, pgledger.Batch{Events: []pgledger.Event{{VoteBatch: n.record}}})
	tracing.End(span, err)
	if err != nil {
		return 0, err
	}
	return result.Verdicts[0], nil
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
