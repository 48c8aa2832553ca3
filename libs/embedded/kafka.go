package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/littlevote/littlevote/libs/embedded/filelock"
)

// KafkaServer is an embedded Kafka of one broker.
type KafkaServer struct {
	cluster *kfake.Cluster
	log     *slog.Logger
	brokers []string
	lock    *filelock.Lock // nil in memory
	stop    context.CancelFunc
	stopped chan struct{}
	once    sync.Once
	err     error
}

// Kafka starts a broker on what dataDir holds, or in memory only if dataDir is empty. Every acknowledged record is on
// the disk first, unless Throwaway is given.
func Kafka(dataDir string, opts ...Option) (*KafkaServer, error) {
	o := collect(opts)
	k := &KafkaServer{log: o.log, stopped: make(chan struct{})}
	settings := []kfake.Opt{kfake.NumBrokers(1), kfake.BrokerConfigs(brokerConfigs()), kfake.WithLogger(kafkaLog{o.log})}
	if dataDir != "" {
		if err := os.MkdirAll(dataDir, 0o700); err != nil {
			return nil, fmt.Errorf("make Kafka's data directory: %w", err)
		}
		lock, err := filelock.Acquire(filepath.Join(dataDir, "lock"))
		if err != nil {
			return nil, fmt.Errorf("open Kafka's data in %s: %w", dataDir, err)
		}
		k.lock = lock
		settings = append(settings, kfake.DataDir(filepath.Join(dataDir, "log")))
		if !o.throwaway {
			settings = append(settings, kfake.SyncWrites())
		}
	}
	cluster, err := kfake.NewCluster(settings...)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the embedded Kafka: %w", err), k.lock.Release())
	}
	k.cluster, k.brokers = cluster, cluster.ListenAddrs()
	ctx, stop := context.WithCancel(context.Background())
	k.stop = stop
	go k.runRetention(ctx)
	return k, nil
}

// Brokers are the addresses that clients begin with.
func (k *KafkaServer) Brokers() []string { return slices.Clone(k.brokers) }

// Close stops the broker and writes down what lets it start fast.
func (k *KafkaServer) Close() error {
	k.once.Do(func() {
		k.stop()
		<-k.stopped
		k.cluster.Close()
		k.err = k.lock.Release()
	})
	return k.err
}

// kafkaLog passes on kfake's warnings and errors: a full disk is one of them.
type kafkaLog struct{ log *slog.Logger }

func (l kafkaLog) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		l.log.ErrorContext(context.Background(), "embedded Kafka", "error", fmt.Sprintf(format, args...))
	case kfake.LogLevelWarn:
		l.log.WarnContext(context.Background(), "embedded Kafka", "warning", fmt.Sprintf(format, args...))
	case kfake.LogLevelNone, kfake.LogLevelInfo, kfake.LogLevelDebug:
	}
}
