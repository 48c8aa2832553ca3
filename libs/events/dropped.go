package events

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/littlevote/littlevote/libs/config"
)

// DroppedRecord notes that a batch of the vote topic had no effect, and why: a word of the ledger.
func DroppedRecord(topics Topics, batch uuid.UUID, why string) *kgo.Record {
	return &kgo.Record{Topic: topics.Dropped, Key: batch[:], Value: []byte(why)}
}

// ReadDropped returns why batches had no effect, by their ids, as of now. What is not ours in the topic is passed over.
func ReadDropped(ctx context.Context, cfg config.Kafka, topics Topics, log *slog.Logger) (map[uuid.UUID]string, error) {
	client, err := NewClient(cfg, log)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	first, end, err := Bounds(ctx, kadm.NewClient(client), topics.Dropped)
	if err != nil {
		return nil, fmt.Errorf("look at topic %s: %w", topics.Dropped, err)
	}
	from := map[int32]kgo.Offset{}
	for id, at := range first {
		if at < end[id] {
			from[id] = kgo.NewOffset().At(at)
		}
	}
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topics.Dropped: from})
	dropped := map[uuid.UUID]string{}
	for len(from) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("read topic %s: %w", topics.Dropped, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if id, err := uuid.FromBytes(r.Key); err == nil {
				dropped[id] = string(r.Value)
			}
			if r.Offset+1 >= end[r.Partition] {
				delete(from, r.Partition)
			}
		})
	}
	return dropped, nil
}
