package persist

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/faultpoint"
	"github.com/littlevote/littlevote/libs/pgledger"
)

// stopGrace is what a transaction in hand still gets when a stop begins.
const stopGrace = 5 * time.Second

// apply runs one transaction after the other until ctx ends. It returns an error if the session can't go on.
func (s *session) apply(ctx context.Context) error {
	for {
		items := s.queue.Take(ctx)
		if items == nil || ctx.Err() != nil {
			return nil
		}
		items = slices.DeleteFunc(items, func(i *item) bool { return i == wakeUp })
		var err error
		for _, some := range s.portions(s.readmit()) {
			err = errors.Join(err, s.pass(ctx, some))
		}
		if err == nil {
			err = s.pass(ctx, items)
		}
		for _, i := range items {
			s.room.Release(s.weight(i))
		}
		if err != nil || ctx.Err() != nil {
			return ignoreEnd(ctx, err)
		}
	}
}

// portions cuts what waited into transactions of the usual size.
func (s *session) portions(items []*item) [][]*item {
	var all [][]*item
	votes, from := 0, 0
	for n, i := range items {
		votes += len(i.batch.GetVotes())
		if n > from && (votes > s.cfg.BatchVotes || n-from >= s.cfg.BatchRecords) {
			all = append(all, items[from:n])
			from, votes = n, len(i.batch.GetVotes())
		}
	}
	if from < len(items) {
		all = append(all, items[from:])
	}
	return all
}

// pass passes items, but for those that have to wait.
func (s *session) pass(ctx context.Context, items []*item) error {
	items = s.setAside(ctx, items)
	if len(items) == 0 {
		return nil
	}
	return s.persist(ctx, items)
}

// ignoreEnd is nil for an error that only says that ctx has ended.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// persist passes items: with their effect, or by halting the partition of the one that has none. After a permanent
// failure it divides them until it has that one.
func (s *session) persist(ctx context.Context, items []*item) error {
	final := func(err error) bool { return pgledger.Permanent(err) || errors.Is(err, pgledger.ErrZombie) }
	err := s.retry(ctx, "apply", final, func(ctx context.Context) error { return s.attempt(ctx, items) })
	if !pgledger.Permanent(err) {
		return err
	}
	if len(items) == 1 {
		i := items[0]
		if faultpoint.Mutant("dead-letter-ours") {
			i.batch, i.foreign = nil, err
			return s.pass(ctx, items)
		}
		i.endTrace("halted", true)
		s.halt(ctx, i.part, err, slog.Int64("offset", i.record.Offset), slog.String("batch", pgledger.Event{VoteBatch: i.batch}.ID().String()))
		return nil
	}
	for _, some := range divide(items) {
		if err := s.persist(ctx, some); err != nil {
			return err
		}
	}
	return nil
}

// divide parts items by partition, or those of one partition in halves.
func divide(items []*item) [][]*item {
	var parts []*part
	byPart := map[*part][]*item{}
	for _, i := range items {
		if byPart[i.part] == nil {
			parts = append(parts, i.part)
		}
		byPart[i.part] = append(byPart[i.part], i)
	}
	if len(parts) == 1 {
		half := len(items) / 2
		return [][]*item{items[:half], items[half:]}
	}
	divided := make([][]*item, len(parts))
	for n, p := range parts {
		divided[n] = byPart[p]
	}
	return divided
}

// attempt tries one transaction with those of the items that are still this process's to pass.
func (s *session) attempt(ctx context.Context, items []*item) error {
	s.owned.turn.Lock()
	defer s.owned.turn.Unlock()
	items = slices.DeleteFunc(slices.Clone(items), func(i *item) bool { return !s.owned.has(i.part) })
	if len(items) == 0 {
		return nil
	}
	batch, moved := transaction(items, s.topic)
	begin := time.Now()
	limited, cancel := s.grace(ctx)
	defer cancel()
	limited, span := startTransaction(limited, items)
	if faultpoint.Mutant("offset-first") {
		if _, err := pgledger.Apply(limited, s.pool, pgledger.Batch{Offsets: batch.Offsets}); err != nil {
			return err
		}
		batch.Offsets = nil
	}
	result, err := pgledger.Apply(limited, s.pool, batch)
	endTransaction(span, items, result, err)
	if err != nil {
		return err
	}
	faultpoint.Hit("persist.after-commit")
	for p, to := range moved {
		p.next.Store(to)
		p.marks.forget(to)
	}
	s.report(limited, result, items, time.Since(begin))
	s.committed(result)
	return nil
}

// grace bounds a transaction, and lets it end in peace when ctx ends.
func (s *session) grace(ctx context.Context) (context.Context, context.CancelFunc) {
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.TransactionTimeout)
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(stopGrace, cancel)
		context.AfterFunc(limited, func() { timer.Stop() })
	})
	return limited, func() { stop(); cancel() }
}

// transaction is what passes items, and where their partitions are then.
func transaction(items []*item, topic events.Topic) (pgledger.Batch, map[*part]int64) {
	var batch pgledger.Batch
	moved := map[*part]int64{}
	for _, i := range items {
		moved[i.part] = i.record.Offset + 1
		if i.batch != nil {
			batch.Events = append(batch.Events, pgledger.Event{VoteBatch: i.batch, Record: i.record.Value, Lost: i.lost})
		}
	}
	for p, to := range moved {
		batch.Offsets = append(batch.Offsets, pgledger.OffsetMove{
			TopicID: topic.ID, Partition: p.id, From: p.next.Load(), To: to, CaughtUpAt: p.marks.reached(to),
		})
	}
	return batch, moved
}

// report tells people what a transaction did.
func (s *session) report(ctx context.Context, result pgledger.Result, items []*item, took time.Duration) {
	lost := 0
	for _, v := range result.Verdicts {
		if v == pgledger.EpochOver || v == pgledger.Certified {
			lost++
		}
	}
	if lost > 0 {
		s.log.WarnContext(ctx, "batches without effect, kept in dropped_batches", "batches", lost, "epoch", result.Epoch.Number)
	}
	s.metrics.transaction(ctx, result, len(items)-len(result.Verdicts), took)
}
