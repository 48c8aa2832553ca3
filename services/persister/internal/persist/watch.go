package persist

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/pgledger"
)

// watch looks at the stores every heartbeat, and when partitions were gained, until ctx ends. It returns an error if the session can't go on.
func (s *session) watch(ctx context.Context) error {
	e := effort{Persister: s.Persister, what: "watch"}
	defer s.status.incident(e.what, nil)
	ticker := time.NewTicker(s.cfg.Participant.Heartbeat)
	defer ticker.Stop()
	for {
		err := s.look(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, pgledger.ErrOtherTopic), errors.Is(err, pgledger.ErrZombie):
			return err
		case err != nil:
			e.failed(ctx, err)
		default:
			e.succeeded(ctx)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-s.gained:
		}
	}
}

// look renews this persister's row and finds out how far it is behind. The time is that of Postgres, by whose clock the lag
// is counted, and from before Kafka was asked: what was appended until then lies before the ends that Kafka names.
func (s *session) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.TransactionTimeout)
	defer cancel()
	at, err := pgledger.Beat(ctx, s.pool, s.cfg.ID, events.Format, s.cfg.Participant.Lease)
	if err != nil {
		return err
	}
	if err := errors.Join(s.checkTopic(ctx), s.checkOffsets(ctx)); err != nil {
		return err
	}
	ends, err := s.admin.ListEndOffsets(ctx, s.topics.Votes)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("ask for the ends of the partitions: %w", err)
	}
	idle := map[int32]int64{}
	behind, lag := int64(0), time.Duration(0)
	for _, p := range s.owned.all() {
		end, ok := ends.Lookup(s.topics.Votes, p.id)
		if !ok {
			continue
		}
		next := p.next.Load()
		if next >= end.Offset {
			idle[p.id] = next
			p.marks.passed(at)
			continue
		}
		behind += end.Offset - next
		p.marks.add(at, end.Offset)
		lag = max(lag, p.marks.age(at))
	}
	s.metrics.behind.Store(behind)
	s.metrics.lag.Store(int64(lag))
	if err := pgledger.CaughtUp(ctx, s.pool, s.topic.ID, idle, at); err != nil {
		return err
	}
	s.commitAdvisory(ctx)
	return s.tellDropped(ctx)
}

// checkTopic finds a topic that was deleted and made again, and gives offsets to partitions that were added.
func (s *session) checkTopic(ctx context.Context) error {
	now, err := events.Describe(ctx, s.admin, s.topics.Votes)
	if err != nil {
		return fmt.Errorf("ask about the topic: %w", err)
	}
	if now.ID != s.topic.ID {
		return fmt.Errorf("%w: it was %s and is %s", pgledger.ErrOtherTopic, s.topic.ID, now.ID)
	}
	if now.Partitions > s.grown {
		// Their offsets first: from then on a look-up of keys knows that nobody has read them.
		if _, err := pgledger.Offsets(ctx, s.pool, now.ID, now.Partitions); err != nil {
			return err
		}
		s.grown = now.Partitions
		s.client.ForceMetadataRefresh()
		s.log.InfoContext(ctx, "the topic has grown", "partitions", now.Partitions)
	}
	return nil
}

// checkOffsets finds offsets that somebody else has moved: a person, of a halted partition, or a failover of Postgres that
// lost commits. The ledger has lost the effect of the records together with their offset, so they are read again. Without
// this an idle partition would notice only when the next record comes.
func (s *session) checkOffsets(ctx context.Context) error {
	parts := s.owned.all()
	known := make([]int64, len(parts))
	for i, p := range parts {
		known[i] = p.next.Load()
	}
	next, err := pgledger.Offsets(ctx, s.pool, s.topic.ID, s.grown)
	if err != nil {
		return err
	}
	for i, p := range parts {
		now := next[p.id]
		if now < known[i] {
			s.log.ErrorContext(ctx, "the ledger has gone back", "alarm", true, "partition", p.id, "from", known[i], "to", now)
			return fmt.Errorf("partition %d has gone back from %d to %d: %w", p.id, known[i], now, pgledger.ErrZombie)
		}
		if p.halted.Load() && now != known[i] && now != p.next.Load() {
			return fmt.Errorf("partition %d was halted, and is to go on at %d: %w", p.id, now, pgledger.ErrZombie)
		}
	}
	return nil
}
