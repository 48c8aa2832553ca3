package persist

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/faultpoint"
	"github.com/littlevote/littlevote/libs/pgledger"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

// toldAtOnce is how many dropped batches the log is told of at once.
const toldAtOnce = 1000

// tellDropped notes in the log which batches had no effect. When Postgres is restored from a backup and the log is applied again, an
// epoch that was over then is open again, and nothing else would tell them from the others.
func (s *session) tellDropped(ctx context.Context) error {
	dropped, err := pgledger.Untold(ctx, s.pool, toldAtOnce)
	if err != nil || len(dropped) == 0 {
		return err
	}
	records := make([]*kgo.Record, len(dropped))
	for i, d := range dropped {
		records[i] = events.DroppedRecord(s.topics, d.ID, d.Reason)
	}
	if err := s.producer.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return s.ensured(ctx, fmt.Errorf("note dropped batches in %s: %w", s.topics.Dropped, err))
	}
	return pgledger.Told(ctx, s.pool, dropped)
}

func (s *session) readDropped(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.TransactionTimeout)
	defer cancel()
	dropped, err := events.ReadDropped(ctx, s.cfg.Kafka, s.topics, s.log)
	if err != nil {
		return s.ensured(ctx, err)
	}
	s.lost.Store(&dropped)
	return nil
}

// ensured makes the topics again if somebody has deleted one, so that the next try finds it.
func (s *session) ensured(ctx context.Context, err error) error {
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		_, made := events.EnsureTopics(ctx, s.producer, s.cfg.Kafka, s.topics)
		return errors.Join(err, made)
	}
	return err
}

// lostBefore is what became of a batch in an earlier life of the ledger, if it had no effect.
func (s *session) lostBefore(batch *eventv1.VoteBatch) pgledger.Verdict {
	if batch == nil || faultpoint.Mutant("drops-forgotten") {
		return 0
	}
	return pgledger.LostFor((*s.lost.Load())[uuid.UUID(batch.GetBatchId())])
}
