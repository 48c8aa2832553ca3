package rows

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/littlevote/littlevote/tools/internal/scope"
	"github.com/littlevote/littlevote/tools/internal/system"
)

// poisonous are records that are none of ours, as they may come.
func poisonous(random *rand.Rand, partition int32, topic string) []*kgo.Record {
	garbage := make([]byte, 200)
	for i := range garbage {
		garbage[i] = byte(random.IntN(256))
	}
	garbage[0] = 0xff // no tag of a field
	record := func(value []byte) *kgo.Record {
		return &kgo.Record{Topic: topic, Partition: partition, Key: []byte("poison"), Value: value}
	}
	return []*kgo.Record{
		record(garbage), record([]byte("{\"format\":99}")), record(nil), record(bytes.Repeat([]byte{0xff}, 900_000)),
	}
}

// poison puts them into every partition.
func poison(r *Run) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(r.Config.Stores.Kafka...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(1_000_000),
	)
	if err != nil {
		r.Fatal(err)
	}
	defer client.Close()
	topics, err := r.System.Kafka.ListTopics(r.Context(), r.System.Topics.Votes)
	if err != nil {
		r.Fatal(err)
	}
	for _, partition := range topics[r.System.Topics.Votes].Partitions.Numbers() {
		for _, record := range poisonous(r.Random, partition, r.System.Topics.Votes) {
			if err := client.ProduceSync(r.Context(), record).FirstErr(); err != nil {
				r.Fatalf("produce poison: %v", err)
			}
			r.poisoned++
		}
	}
}

// deadLetters holds the number of dead letters against the poison.
func deadLetters(r *Run) {
	ends, err := r.System.Kafka.ListEndOffsets(r.Context(), r.System.Topics.DeadLetters)
	if err != nil {
		r.Fatal(err)
	}
	letters := int64(0)
	ends.Each(func(o kadm.ListedOffset) { letters += o.Offset })
	if letters != int64(r.poisoned) {
		r.Errorf("%d poisonous records, %d dead letters", r.poisoned, letters)
	}
}

// retentionPassed lets records go that nobody has read, while the persisters are away.
func retentionPassed(r *Run) {
	for _, s := range r.System.Services(system.Persister) {
		s.Stop(r)
	}
	r.AwaitMore(warm)
	ctx := r.Context()
	if err := r.deleteRecords(ctx); err != nil {
		r.Fatal(err)
	}
	r.halted = r.offsets()
	for _, s := range r.System.Services(system.Persister) {
		s.Start()
	}
	scope.Eventually(r, failpointPatience, func() error {
		for _, s := range r.System.Services(system.Persister) {
			if !unready(ctx, s) {
				return fmt.Errorf("%s says that it is ready", s.ID())
			}
		}
		return nil
	})
	r.Hold(3 * time.Second)
}

func (r *Run) deleteRecords(ctx context.Context) error {
	ends, err := r.System.Kafka.ListEndOffsets(ctx, r.System.Topics.Votes)
	if err != nil {
		return err
	}
	deleted, err := r.System.Kafka.DeleteRecords(ctx, ends.Offsets())
	if err == nil {
		err = deleted.Error()
	}
	return err
}

// unready says that a service answers its probe, and that it is not ready.
func unready(ctx context.Context, s *system.Service) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Address+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode != http.StatusOK
}

// offsets are those in Postgres.
func (r *Run) offsets() map[int32]int64 {
	rows, err := r.System.Pool.Query(r.Context(), "SELECT partition, next FROM offsets")
	if err != nil {
		r.Fatal(err)
	}
	defer rows.Close()
	next := map[int32]int64{}
	for rows.Next() {
		var partition int32
		var offset int64
		if err := rows.Scan(&partition, &offset); err != nil {
			r.Fatal(err)
		}
		next[partition] = offset
	}
	if err := rows.Err(); err != nil {
		r.Fatal(err)
	}
	return next
}

// halted holds the offsets against those before the records went: behind a hole nothing may be applied.
func halted(r *Run) {
	starts, err := r.System.Kafka.ListStartOffsets(context.WithoutCancel(r.Context()), r.System.Topics.Votes)
	if err != nil {
		r.Fatal(err)
	}
	holes := 0
	for partition, next := range r.offsets() {
		start, _ := starts.Lookup(r.System.Topics.Votes, partition)
		if was := r.halted[partition]; was < start.Offset {
			holes++
			if next != was {
				r.Errorf("partition %d went on from %d to %d, over a hole that ends at %d", partition, was, next, start.Offset)
			}
		}
	}
	if holes == 0 {
		r.Errorf("no partition has a hole")
	}
}
