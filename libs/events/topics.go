package events

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/littlevote/littlevote/libs/config"
)

// deadLetterRetention is how long somebody has time to look at a dead letter.
const deadLetterRetention = 30 * 24 * time.Hour

// Topics are the names of the topics.
type Topics struct {
	Votes       string
	DeadLetters string
	Dropped     string
}

// NewTopics names the topics; the prefix is empty outside tests.
func NewTopics(prefix string) Topics {
	return Topics{Votes: prefix + "vote-events", DeadLetters: prefix + "vote-events-dlq", Dropped: prefix + "vote-events-dropped"}
}

// Topic is a topic as the cluster has it. A topic that was deleted and made again has another ID.
type Topic struct {
	ID         uuid.UUID
	Partitions int
	Replicas   int // of the partition that has the fewest
	// What EnsureTopics finds in the settings.
	InSync    int           // replicas that must have a record before it is acknowledged
	Retention time.Duration // negative: for ever
}

// EnsureTopics makes the topics that are missing and returns the vote topic. Many may call it at once. A vote topic
// with more partitions than asked for is fine, fewer is an error, and so is a topic that is compacted: its records would
// vanish, since all batches of a lane share a key.
func EnsureTopics(ctx context.Context, client *kgo.Client, cfg config.Kafka, topics Topics) (Topic, error) {
	admin := kadm.NewClient(client)
	for _, t := range []struct {
		name      string
		retention time.Duration
		maxBytes  int // of a record with its frame
	}{
		{topics.Votes, cfg.Retention, 1 << 20},
		{topics.DeadLetters, deadLetterRetention, 2 << 20}, // a record of full size still fits with its headers
		{topics.Dropped, cfg.Retention, 1 << 20},           // written after the batch, so it is there as long as that
	} {
		if err := create(ctx, admin, cfg, t.name, t.retention, t.maxBytes); err != nil {
			return Topic{}, fmt.Errorf("make topic %s: %w", t.name, err)
		}
	}
	var topic Topic
	for _, name := range []string{topics.DeadLetters, topics.Dropped, topics.Votes} {
		err := await(ctx, func() (err error) {
			topic, err = inspect(ctx, admin, name)
			return err
		})
		if err != nil {
			return Topic{}, fmt.Errorf("look at topic %s: %w", name, err)
		}
	}
	if topic.Partitions < cfg.Partitions {
		return Topic{}, fmt.Errorf("topic %s has %d partitions, kafka.partitions asks for %d: add partitions to the topic, or lower the setting",
			topics.Votes, topic.Partitions, cfg.Partitions)
	}
	return topic, nil
}

func create(ctx context.Context, admin *kadm.Client, cfg config.Kafka, name string, retention time.Duration, maxBytes int) error {
	setting := func(s string) *string { return &s }
	_, err := admin.CreateTopic(ctx, int32(cfg.Partitions), int16(cfg.Replication), map[string]*string{
		"cleanup.policy": setting("delete"),
		"retention.ms":   setting(strconv.FormatInt(retention.Milliseconds(), 10)),
		// Retention by the broker's clock: a record lives its full time, whatever the producer's clock says. (The embedded
		// Kafka takes the setting and goes on by the producer's clock, which is its own.)
		"message.timestamp.type": setting("LogAppendTime"),
		"max.message.bytes":      setting(strconv.Itoa(maxBytes)),
		"min.insync.replicas":    setting(strconv.Itoa(max(1, cfg.Replication-1))),
	}, name)
	if errors.Is(err, kerr.TopicAlreadyExists) {
		return nil
	}
	return err
}

// await tries until the cluster knows a topic that has just been made: it may hear of the creation later.
func await(ctx context.Context, try func() error) error {
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := try()
		if err == nil || !retriable(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-time.After(pause):
		}
	}
}

func retriable(err error) bool {
	var code *kerr.Error
	return errors.As(err, &code) && code.Retriable
}

// Describe asks the cluster for a topic.
func Describe(ctx context.Context, admin *kadm.Client, name string) (Topic, error) {
	found, err := admin.ListTopics(ctx, name)
	if err != nil {
		return Topic{}, err
	}
	detail := found[name]
	if detail.Err != nil {
		return Topic{}, detail.Err
	}
	if len(detail.Partitions) == 0 {
		return Topic{}, kerr.UnknownTopicOrPartition
	}
	topic := Topic{ID: uuid.UUID(detail.ID), Partitions: len(detail.Partitions), Replicas: math.MaxInt}
	for _, p := range detail.Partitions {
		topic.Replicas = min(topic.Replicas, len(p.Replicas))
	}
	return topic, nil
}

// electionTime is how long Bounds waits for partitions that have no leader: the cluster elects one within that, or something is
// wrong with it.
const electionTime = 5 * time.Second

// Bounds says where each partition of a topic begins and where it ends.
func Bounds(ctx context.Context, admin *kadm.Client, name string) (first, end map[int32]int64, err error) {
	if first, err = offsets(ctx, admin.ListStartOffsets, name); err != nil {
		return nil, nil, err
	}
	end, err = offsets(ctx, admin.ListEndOffsets, name)
	return first, end, err
}

func offsets(
	ctx context.Context, ask func(context.Context, ...string) (kadm.ListedOffsets, error), name string,
) (map[int32]int64, error) {
	listed, err := backoff.Retry(ctx, func() (kadm.ListedOffsets, error) {
		listed, err := ask(ctx, name)
		if err == nil {
			err = listed.Error()
		}
		if err != nil && !kerr.IsRetriable(err) {
			err = backoff.Permanent(err)
		}
		return listed, err
	}, backoff.WithMaxElapsedTime(electionTime))
	if err != nil {
		return nil, err
	}
	found := map[int32]int64{}
	listed.Each(func(o kadm.ListedOffset) { found[o.Partition] = o.Offset })
	return found, nil
}

// inspect is Describe for a topic that must not be compacted.
func inspect(ctx context.Context, admin *kadm.Client, name string) (Topic, error) {
	topic, err := Describe(ctx, admin, name)
	if err != nil {
		return Topic{}, err
	}
	found, err := admin.DescribeTopicConfigs(ctx, name)
	if err != nil {
		return Topic{}, err
	}
	for _, resource := range found {
		if resource.Err != nil {
			return Topic{}, resource.Err
		}
		for _, c := range resource.Configs {
			if err := topic.read(c.Key, c.MaybeValue()); err != nil {
				return Topic{}, err
			}
		}
	}
	return topic, nil
}

// read takes in one setting of the topic.
func (t *Topic) read(key, value string) error {
	switch key {
	case "cleanup.policy":
		if strings.Contains(value, "compact") {
			return fmt.Errorf("cleanup.policy is %s, which forgets records: it must be delete", value)
		}
	case "min.insync.replicas":
		n, err := strconv.Atoi(value)
		if err != nil {
			return fmt.Errorf("min.insync.replicas: %w", err)
		}
		t.InSync = n
	case "retention.ms":
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return fmt.Errorf("retention.ms: %w", err)
		}
		t.Retention = time.Duration(min(n, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
	}
	return nil
}

// Weak is what cannot be promised on this topic, in words for the operator. It looks at what the cluster has, since the
// settings count only when a topic is made.
func (t Topic) Weak(cfg config.Kafka) []string {
	var all []string
	switch {
	case t.Replicas < 2:
		all = append(all, "one Kafka replica: the loss of the broker's disk loses votes that are not yet in Postgres (G1)")
	case t.InSync < 2:
		all = append(all, "Kafka acknowledges what stands on one broker alone (min.insync.replicas is 1): its loss loses votes that are not yet in Postgres (G1)")
	}
	if t.Retention < 0 || t.Retention > cfg.Retention {
		all = append(all, fmt.Sprintf("the vote topic keeps records for longer than kafka.retention (%v): one that is read again after batch ids are forgotten counts twice (G2)", cfg.Retention))
	}
	return all
}
