package persist

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/littlevote/littlevote/libs/events"
)

// buryPatience is how long all partitions wait for the dead-letter topic, before only those with dead letters do.
const buryPatience = time.Second

// setAside returns those of the items that may be passed now. What is not ours has to stand in the dead-letter topic first,
// acknowledged by all in-sync replicas; where that takes long, the record and those behind it in its partition wait on
// their own. A crash in between puts a record there twice.
func (s *session) setAside(ctx context.Context, items []*item) []*item {
	s.buryAll(ctx, items)
	pass := items[:0:0]
	for _, i := range items {
		switch {
		case !s.owned.has(i.part):
		case i.part.waiting != nil:
			i.part.waiting = append(i.part.waiting, i)
		case i.foreign == nil || i.dead:
			pass = append(pass, i)
		default:
			s.beginWaiting(ctx, i)
		}
	}
	return pass
}

// buryAll produces all foreign records at once, and looks which of them are acknowledged within a moment.
func (s *session) buryAll(ctx context.Context, items []*item) {
	var foreign []*item
	for _, i := range items {
		if i.foreign != nil && !i.dead && i.part.waiting == nil && s.owned.has(i.part) {
			foreign = append(foreign, i)
		}
	}
	if len(foreign) == 0 {
		return
	}
	limited, cancel := context.WithTimeout(ctx, buryPatience)
	defer cancel()
	for _, i := range foreign {
		s.produceLetter(i)
	}
	for _, i := range foreign {
		if err := i.answer(limited); limited.Err() == nil || err == nil {
			s.buried(ctx, i, err)
		}
	}
}

// buried notes what became of a record. Any other failure is for another try.
func (s *session) buried(ctx context.Context, i *item, err error) {
	switch {
	case err == nil:
		i.dead = true
		s.reportDead(ctx, i)
	case tooLarge(err):
		s.halt(ctx, i.part, fmt.Errorf("the dead-letter topic does not take it: %w", err), slog.Int64("offset", i.record.Offset))
	}
}

// beginWaiting holds a partition up from a foreign record on, without the others, until the record is buried.
func (s *session) beginWaiting(ctx context.Context, i *item) {
	i.part.waiting = []*item{i}
	// For the room: what is queued of the partition stays, and nothing more comes.
	s.client.PauseFetchPartitions(map[string][]int32{s.topics.Votes: {i.part.id}})
	s.metrics.waiting.Add(1)
	what := fmt.Sprintf("dead letter of partition %d", i.part.id)
	s.status.incident(what, errors.New("the dead-letter topic does not take it yet, and the partition waits"))
	s.log.WarnContext(ctx, "partition waits for the dead-letter topic", "partition", i.part.id, "offset", i.record.Offset)
	s.nurses.Go(func() {
		defer s.status.incident(what, nil)
		defer s.metrics.waiting.Add(-1)
		final := func(err error) bool { return tooLarge(err) || errors.Is(err, errNotOurs) }
		err := s.retry(ctx, what, final, func(ctx context.Context) error { return s.bury(ctx, i) })
		if ctx.Err() != nil || errors.Is(err, errNotOurs) {
			return
		}
		s.buried(ctx, i, err)
		s.mu.Lock()
		s.recovered = append(s.recovered, i.part)
		s.mu.Unlock()
		_ = s.queue.Put(wakeUp) // a full queue wakes apply up by itself
	})
}

// wakeUp is no record: it lets apply look at what has recovered.
var wakeUp = &item{} //nolint:gochecknoglobals // A constant.

// errNotOurs ends the wait of a partition that this process has no more.
var errNotOurs = errors.New("the partition is no longer ours")

// readmit returns what waited behind dead letters that are buried now, to be passed before anything newer.
func (s *session) readmit() []*item {
	s.mu.Lock()
	defer s.mu.Unlock()
	var items []*item
	for _, part := range s.recovered {
		items = append(items, part.waiting...)
		part.waiting = nil
		if s.owned.has(part) {
			s.client.ResumeFetchPartitions(map[string][]int32{s.topics.Votes: {part.id}})
		}
	}
	s.recovered = nil
	return items
}

func tooLarge(err error) bool {
	return errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge)
}

func (s *session) bury(ctx context.Context, i *item) error {
	if !s.owned.has(i.part) {
		return errNotOurs
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.TransactionTimeout)
	defer cancel()
	s.produceLetter(i)
	return i.answer(ctx)
}

// produceLetter sends a record to the dead-letter topic, unless that is under way. It has no context: kgo would wait for
// the broker's answer all the same, and we can't.
func (s *session) produceLetter(i *item) {
	if i.pending != nil {
		return
	}
	answer := make(chan error, 1)
	letter := events.NewDeadLetter(i.record, i.foreign, time.Now()).Record(s.topics.DeadLetters)
	s.producer.TryProduce(context.Background(), letter, func(_ *kgo.Record, err error) { answer <- err })
	i.pending = answer
}

// answer waits for what became of the last attempt.
func (i *item) answer(ctx context.Context) error {
	select {
	case err := <-i.pending:
		i.pending = nil
		return err
	case <-ctx.Done():
		return fmt.Errorf("no answer: %w", ctx.Err())
	}
}

func (s *session) reportDead(ctx context.Context, i *item) {
	log := s.log.With("partition", i.record.Partition, "offset", i.record.Offset, "reason", i.foreign)
	if errors.Is(i.foreign, events.ErrUnknownFormat) {
		// Producers ask persisters which formats they read before they write one, so this is a mistake of ours.
		log.ErrorContext(ctx, "dead letter of an unknown format", "alarm", true)
		return
	}
	log.WarnContext(ctx, "dead letter")
}
