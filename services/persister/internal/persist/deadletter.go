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

// buryForeign puts the records that are not ours into the dead-letter topic, acknowledged by all in-sync replicas, before
// anything passes them. A crash in between puts them there twice.
func (s *session) buryForeign(ctx context.Context, items []*item) error {
	for _, i := range items {
		if i.foreign == nil || i.dead || !s.owned.has(i.part) {
			continue
		}
		err := s.retry(ctx, "dead letter", tooLarge, func(ctx context.Context) error { return s.bury(ctx, i) })
		if tooLarge(err) {
			s.halt(ctx, i.part, fmt.Errorf("the dead-letter topic does not take it: %w", err), slog.Int64("offset", i.record.Offset))
			continue
		}
		if err != nil {
			return err
		}
		i.dead = true
		s.reportDead(ctx, i)
	}
	return nil
}

func tooLarge(err error) bool {
	return errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge)
}

func (s *session) bury(ctx context.Context, i *item) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.TransactionTimeout)
	defer cancel()
	answer := make(chan error, 1)
	// Without ctx: kgo would wait for the broker's answer all the same, and we can't.
	s.producer.TryProduce(context.WithoutCancel(ctx), s.deadLetter(i), func(_ *kgo.Record, err error) { answer <- err })
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("no answer: %w", ctx.Err())
	}
}

func (s *session) deadLetter(i *item) *kgo.Record {
	return events.NewDeadLetter(i.record, i.foreign, time.Now()).Record(s.topics.DeadLetters)
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
