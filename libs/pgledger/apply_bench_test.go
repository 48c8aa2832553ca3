package pgledger_test

import (
	"fmt"
	"testing"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/pgledger"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

// BenchmarkApply is what a persister does, without Kafka: transactions of so many ledger rows, with an offset.
func BenchmarkApply(b *testing.B) {
	for _, rows := range []int{1, 100, 1000, 10_000, 50_000} {
		for _, keyed := range []bool{false, true} {
			b.Run(fmt.Sprintf("rows=%d/keyed=%t", rows, keyed), func(b *testing.B) { benchmarkApply(b, rows, keyed) })
		}
	}
}

func benchmarkApply(b *testing.B, rows int, keyed bool) {
	pool := newLedger(b)
	topic := uuid.New()
	if _, err := pgledger.Offsets(b.Context(), pool, topic, 1); err != nil {
		b.Fatal(err)
	}
	next := int64(0)
	for b.Loop() {
		b.StopTimer()
		var batches []*eventv1.VoteBatch
		for left := rows; left > 0; left -= 500 {
			batches = append(batches, benchmarkBatch(min(left, 500), keyed))
		}
		b.StartTimer()
		_, err := pgledger.Apply(b.Context(), pool, pgledger.Batch{
			Events:  eventsOf(batches...),
			Offsets: []pgledger.OffsetMove{{TopicID: topic, From: next, To: next + 1}},
		})
		if err != nil {
			b.Fatal(err)
		}
		next++
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func benchmarkBatch(votes int, keyed bool) *eventv1.VoteBatch {
	batch := newBatch("main", 1, "A", "B", "C", "D", "E", "F", "G", "H")
	batch.Votes = nil
	for i := range votes {
		id := uuid.Must(uuid.NewV7())
		v := &eventv1.VoteEvent{VoteId: id[:], Candidates: []uint32{uint32(i % 8)}, Deltas: []int64{1}}
		if keyed {
			v.BodyHash = make([]byte, 16)
		}
		batch.Votes = append(batch.Votes, v)
	}
	return batch
}
