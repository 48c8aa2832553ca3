package events_test

import (
	"log/slog"
	"testing"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/littlevote/littlevote/libs/events"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

// BenchmarkCompression produces batches of 200 votes one after the other, as a lane does, with each codec.
func BenchmarkCompression(b *testing.B) {
	cfg, admin, topics := kafka(b)
	ensure(b, admin, cfg, topics)
	var values [][]byte
	for range 64 {
		value, err := events.Encode(votes(200))
		if err != nil {
			b.Fatal(err)
		}
		values = append(values, value)
	}
	for name, codec := range map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "lz4": kgo.Lz4Compression(), "snappy": kgo.SnappyCompression(), "zstd": kgo.ZstdCompression(),
	} {
		b.Run(name, func(b *testing.B) {
			written := &bytesWritten{}
			client, err := events.NewProducer(cfg, slog.New(slog.DiscardHandler), kgo.ProducerBatchCompression(codec), kgo.WithHooks(written))
			if err != nil {
				b.Fatal(err)
			}
			defer client.Close()
			for i := 0; b.Loop(); i++ {
				produce(b, client, &kgo.Record{Topic: topics.Votes, Key: events.Key("main", uint32(i)), Value: values[i%len(values)]})
			}
			b.ReportMetric(float64(written.compressed)/float64(b.N), "B/batch")
		})
	}
}

func votes(n int) *eventv1.VoteBatch {
	b := validBatch()
	b.Votes = nil
	for i := range n {
		id := uuid.Must(uuid.NewV7())
		b.Votes = append(b.Votes, &eventv1.VoteEvent{VoteId: id[:], Candidates: []uint32{uint32(i % 2)}, Deltas: []int64{1}})
	}
	return b
}

// bytesWritten counts what batches take on the wire. One record is in flight at a time, so it needs no lock.
type bytesWritten struct{ compressed int }

func (w *bytesWritten) OnProduceBatchWritten(_ kgo.BrokerMetadata, _ string, _ int32, m kgo.ProduceBatchMetrics) {
	w.compressed += m.CompressedBytes
}

// BenchmarkDecode is what a persister does to each record first.
func BenchmarkDecode(b *testing.B) {
	value, err := events.Encode(votes(500))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := events.Decode(value); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(500*float64(b.N)/b.Elapsed().Seconds(), "votes/s")
}

// BenchmarkEncode is what a vote-service does to each batch.
func BenchmarkEncode(b *testing.B) {
	batch := votes(500)
	for b.Loop() {
		if _, err := events.Encode(batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(500*float64(b.N)/b.Elapsed().Seconds(), "votes/s")
}
