package events

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/littlevote/littlevote/libs/config"
)

// Bounds of a producer's buffer, together below what one second of full load makes.
const (
	maxBufferedRecords = 10_000
	maxBufferedBytes   = 64 << 20
)

// NewProducer makes a client that writes batches: idempotent, acknowledged by all in-sync replicas, lane to partition,
// at once. It compresses by LZ4, which halves a batch and costs no time that BenchmarkCompression could tell.
//
// A record's context ends its wait for room in the buffer and its time there; once a request with the record is under
// way it is only reported when the broker's answer is known. So give it a context without a deadline and wait for the
// promise beside your own deadline. Leave its Timestamp alone: kgo counts the delivery timeout from it, and the broker
// replaces it anyway.
func NewProducer(cfg config.Kafka, log *slog.Logger, more ...kgo.Opt) (*kgo.Client, error) {
	opts := append(ClientOptions(cfg, log),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(Partitioner{}),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()),
		kgo.ProducerLinger(0),
		kgo.ProducerBatchMaxBytes(1<<20),
		kgo.MaxBufferedRecords(maxBufferedRecords),
		kgo.MaxBufferedBytes(maxBufferedBytes),
		// A record that was never sent is given up after this long: its sender went to Postgres long ago.
		kgo.RecordDeliveryTimeout(30*time.Second),
		kgo.ProduceRequestTimeout(5*time.Second),
	)
	client, err := kgo.NewClient(append(opts, more...)...)
	if err != nil {
		return nil, fmt.Errorf("kafka producer: %w", err)
	}
	return client, nil
}

// ClientOptions are common to all Kafka clients here: quick to notice that a broker is back, and logging to log.
func ClientOptions(cfg config.Kafka, log *slog.Logger) []kgo.Opt {
	return []kgo.Opt{
		kgo.SeedBrokers(cfg.Brokers...),
		kgo.ClientID("littlevote"),
		kgo.DialTimeout(3 * time.Second),
		kgo.MetadataMinAge(250 * time.Millisecond),
		kgo.RetryBackoffFn(func(fails int) time.Duration {
			return min(50*time.Millisecond<<min(fails, 5), time.Second)
		}),
		kgo.WithLogger(logger{log}),
	}
}

// logger passes kgo's warnings and errors on; its info level speaks of every connection.
type logger struct{ log *slog.Logger }

// Level is part of kgo.Logger.
func (logger) Level() kgo.LogLevel { return kgo.LogLevelWarn }

// Log is part of kgo.Logger.
func (l logger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	to := slog.LevelWarn
	if level == kgo.LogLevelError {
		to = slog.LevelError
	}
	l.log.Log(context.Background(), to, "kafka: "+msg, keyvals...)
}
