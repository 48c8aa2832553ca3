package dlq

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/littlevote/littlevote/libs/events"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

// examine finds out what is in a letter, and what a replay of it would come to.
func (d *office) examine(ctx context.Context, l *letter) error {
	note := func(format string, args ...any) { l.notes = append(l.notes, fmt.Sprintf(format, args...)) }
	batch, err := events.Decode(l.Value)
	if err != nil {
		note("still not readable (%v): a replay comes back as a new dead letter", err)
		return nil
	}
	l.batch = batch
	found, err := d.lookUp(ctx, batch)
	if err != nil {
		return fmt.Errorf("%s: look the batch up: %w", l.address, err)
	}
	refuse := func(format string, args ...any) {
		l.refusal = fmt.Sprintf(format, args...)
		note("not to be sent: %s", l.refusal)
	}
	switch {
	case found.applied:
		note("the batch has been counted: a replay has no effect")
	case found.inLedger:
		refuse("the batch was counted so long ago that its id is forgotten, and would count twice")
	case !found.ballot:
		refuse("its ballot %q is not known here, so its partition would halt", batch.GetBallot())
	case batch.GetEpoch() > found.epoch:
		refuse("its epoch %d was never opened here, the epoch is %d, so its partition would halt", batch.GetEpoch(), found.epoch)
	case batch.GetEpoch() < found.epoch:
		note("its epoch %d is over: a replay does not count, and dropped_batches keeps it", batch.GetEpoch())
	case found.certified:
		note("its ballot is certified: a replay does not count, and dropped_batches keeps it")
	case found.keys > 0:
		refuse("%d of its idempotency keys belong to other votes by now, so its partition would halt", found.keys)
	default:
		note("a replay counts it")
	}
	return nil
}

// findings are what the ledger knows of a batch.
type findings struct {
	applied   bool // its id is remembered
	inLedger  bool // its first vote has rows, which are never forgotten
	ballot    bool
	certified bool
	epoch     int64 // that is on
	keys      int   // of its idempotency keys that another batch holds
}

func (d *office) lookUp(ctx context.Context, b *eventv1.VoteBatch) (f findings, err error) {
	ctx, cancel := context.WithTimeout(ctx, stallTime)
	defer cancel()
	var keys []uuid.UUID
	for _, v := range b.GetVotes() {
		if len(v.GetBodyHash()) > 0 {
			keys = append(keys, uuid.UUID(v.GetVoteId()))
		}
	}
	err = d.pool.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM applied_batches WHERE batch_id = $1),
			EXISTS (SELECT FROM vote_logs WHERE ballot = $2 AND vote_id = $3 AND batch_id = $1),
			EXISTS (SELECT FROM ballots WHERE ballot = $2),
			EXISTS (SELECT FROM ballots WHERE ballot = $2 AND state = 'certified'),
			coalesce((SELECT epoch FROM ledger_epoch), 0),
			(SELECT count(*) FROM vote_keys WHERE ballot = $2 AND key = ANY ($4::uuid[]) AND batch_id <> $1)`,
		uuid.UUID(b.GetBatchId()), b.GetBallot(), uuid.UUID(b.GetVotes()[0].GetVoteId()), keys,
	).Scan(&f.applied, &f.inLedger, &f.ballot, &f.certified, &f.epoch, &f.keys)
	return f, err
}

// replay sends a letter to the vote topic as it once came, and writes that down.
func (d *office) replay(ctx context.Context, l *letter) error {
	if l.refusal != "" {
		return errors.New("not sent: " + l.refusal)
	}
	produce, cancel := context.WithTimeout(ctx, stallTime)
	defer cancel()
	sent := &kgo.Record{Topic: d.topics.Votes, Key: l.Key, Value: l.Value, Headers: l.Headers}
	if err := d.producer.ProduceSync(produce, sent).FirstErr(); err != nil {
		return fmt.Errorf("produce to %s: %w", d.topics.Votes, err)
	}
	return d.record(ctx, l, replayed)
}

// record writes down what was done with a letter.
func (d *office) record(ctx context.Context, l *letter, action string) error {
	ctx, cancel := context.WithTimeout(ctx, stallTime)
	defer cancel()
	err := d.pool.QueryRow(ctx, `
		INSERT INTO dead_letters (topic_id, partition, "offset", action) VALUES ($1, $2, $3, $4)
		ON CONFLICT (topic_id, partition, "offset") DO UPDATE SET action = excluded.action, handled_at = now()
		RETURNING handled_at`, d.topic.ID, l.address.partition, l.address.offset, action).Scan(&l.handledAt)
	if err != nil {
		return fmt.Errorf("write down that it was %s: %w", action, err)
	}
	l.action = action
	return nil
}
