package events

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/tlsfiles"
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
	opts := []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(Partitioner{}),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()),
		kgo.ProducerLinger(0),
		kgo.ProducerBatchMaxBytes(1 << 20),
		kgo.MaxBufferedRecords(maxBufferedRecords),
		kgo.MaxBufferedBytes(maxBufferedBytes),
		// A record that was never sent is given up after this long: its sender went to Postgres long ago.
		kgo.RecordDeliveryTimeout(30 * time.Second),
		kgo.ProduceRequestTimeout(5 * time.Second),
	}
	return NewClient(cfg, log, append(opts, more...)...)
}

// NewClient makes a client as all Kafka clients here are: quick to notice that a broker is back, with TLS and a login where
// the settings say so, and logging to log.
func NewClient(cfg config.Kafka, log *slog.Logger, more ...kgo.Opt) (*kgo.Client, error) {
	opts, err := clientOptions(cfg, log)
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append(opts, more...)...)
	if err != nil {
		return nil, fmt.Errorf("kafka client: %w", err)
	}
	return client, nil
}

// dialTimeout bounds the wait for a connection, TLS and all.
const dialTimeout = 3 * time.Second

func clientOptions(cfg config.Kafka, log *slog.Logger) ([]kgo.Opt, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(cfg.Brokers...),
		kgo.ClientID("littlevote"),
		kgo.MetadataMinAge(250 * time.Millisecond),
		kgo.RetryBackoffFn(func(fails int) time.Duration {
			return min(50*time.Millisecond<<min(fails, 5), time.Second)
		}),
		kgo.WithLogger(logger{log}),
	}
	if login := mechanism(cfg); login != nil {
		opts = append(opts, kgo.SASL(login))
	}
	if !cfg.TLS {
		return append(opts, kgo.DialTimeout(dialTimeout)), nil
	}
	files, err := tlsfiles.Open("kafka", cfg.Files(), log)
	if err != nil {
		return nil, err
	}
	return append(opts, kgo.Dialer(files.Dial(&net.Dialer{Timeout: dialTimeout}))), nil
}

// mechanism is nil without a login.
func mechanism(cfg config.Kafka) sasl.Mechanism {
	switch cfg.SASL {
	case config.SASLPlain:
		return plain.Auth{User: cfg.User, Pass: cfg.Password}.AsMechanism()
	case config.SASLScramSHA256:
		return scram.Auth{User: cfg.User, Pass: cfg.Password}.AsSha256Mechanism()
	case config.SASLScramSHA512:
		return scram.Auth{User: cfg.User, Pass: cfg.Password}.AsSha512Mechanism()
	default:
		return nil
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
