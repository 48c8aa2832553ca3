package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// kafkaRetentionEvery is how often records past their topic's retention are removed.
const kafkaRetentionEvery = 10 * time.Minute

// brokerConfigs turn kfake's own retention off: it removes even a partition's last record, and after the next start
// such a partition counts its offsets from 0 again, below those that consumers wrote down. Ours, removeExpired, keeps
// the last record. Only whole segments are removed, so they are made smaller than the 100 MiB of kfake.
func brokerConfigs() map[string]string {
	const never = 100 * 365 * 24 * time.Hour
	return map[string]string{
		"log.cleaner.backoff.ms": strconv.FormatInt(never.Milliseconds(), 10),
		"log.segment.bytes":      strconv.Itoa(16 << 20),
	}
}

func (k *KafkaServer) runRetention(ctx context.Context) {
	defer close(k.stopped)
	ticker := time.NewTicker(kafkaRetentionEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			if err := k.removeExpired(ctx, now); err != nil && ctx.Err() == nil {
				k.log.WarnContext(ctx, "embedded Kafka keeps records past their retention", slog.Any("error", err))
			}
		}
	}
}

// removeExpired removes the records that are past their topic's retention.ms, but of each partition never the last.
func (k *KafkaServer) removeExpired(ctx context.Context, now time.Time) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(k.brokers...))
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	topics, err := admin.ListTopics(ctx)
	if err != nil || len(topics) == 0 {
		return err
	}
	configs, err := admin.DescribeTopicConfigs(ctx, topics.Names()...)
	if err != nil {
		return err
	}
	var errs []error
	for _, config := range configs {
		millis, err := retentionMillis(config)
		if err == nil && millis >= 0 {
			err = k.removeBefore(ctx, admin, config.Name, now.UnixMilli()-millis)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// retentionMillis is a topic's retention, negative for none.
func retentionMillis(topic kadm.ResourceConfig) (int64, error) {
	if topic.Err != nil {
		return 0, topic.Err
	}
	for _, config := range topic.Configs {
		if config.Key == "retention.ms" {
			return strconv.ParseInt(config.MaybeValue(), 10, 64)
		}
	}
	return -1, nil
}

func (k *KafkaServer) removeBefore(ctx context.Context, admin *kadm.Client, topic string, millis int64) error {
	kept, err := admin.ListOffsetsAfterMilli(ctx, millis, topic)
	if err != nil {
		return err
	}
	for _, partition := range k.cluster.PartitionInfos(topic) {
		from, ok := kept.Lookup(topic, partition.Partition)
		if !ok || from.Err != nil {
			return errors.Join(fmt.Errorf("no offset for time in topic %s", topic), from.Err)
		}
		to := min(from.Offset, partition.HighWatermark-1)
		if to <= partition.LogStartOffset {
			continue
		}
		if err := k.cluster.DeleteRecords(topic, partition.Partition, to); err != nil {
			return err
		}
	}
	return nil
}
