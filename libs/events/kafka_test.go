package events_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/testenv"
)

func kafka(t testing.TB) (config.Kafka, *kgo.Client, events.Topics) {
	t.Helper()
	cfg := config.DefaultKafka()
	cfg.Brokers = testenv.Kafka(t)
	client, err := events.NewProducer(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return cfg, client, events.NewTopics(testenv.Topic(t))
}

func ensure(t testing.TB, client *kgo.Client, cfg config.Kafka, topics events.Topics) events.Topic {
	t.Helper()
	topic, err := events.EnsureTopics(t.Context(), client, cfg, topics)
	if err != nil {
		t.Fatal(err)
	}
	return topic
}

func TestTopicNames(t *testing.T) {
	t.Parallel()
	if got := events.NewTopics(""); got.Votes != "vote-events" || got.DeadLetters != "vote-events-dlq" {
		t.Errorf("topics are %+v, others rely on vote-events and vote-events-dlq", got)
	}
}

func TestEnsureTopics(t *testing.T) {
	t.Parallel()
	cfg, client, topics := kafka(t)
	first := ensure(t, client, cfg, topics)
	if first.Partitions != 8 || first.ID == uuid.Nil {
		t.Errorf("topic is %+v, want 8 partitions and an id", first)
	}
	if again := ensure(t, client, cfg, topics); again != first {
		t.Errorf("the second time it is %+v, want %+v", again, first)
	}
	admin := kadm.NewClient(client)
	expectSettings(t, admin, topics.Votes, map[string]string{
		"cleanup.policy": "delete", "retention.ms": "86400000", "message.timestamp.type": "LogAppendTime",
	})
	expectSettings(t, admin, topics.DeadLetters, map[string]string{"cleanup.policy": "delete", "retention.ms": "2592000000"})

	fewer := cfg
	fewer.Partitions = 4
	if topic := ensure(t, client, fewer, topics); topic.Partitions != 8 {
		t.Errorf("a topic with more partitions than asked for is %+v", topic)
	}
	more := cfg
	more.Partitions = 16
	if _, err := events.EnsureTopics(t.Context(), client, more, topics); err == nil || !strings.Contains(err.Error(), "has 8 partitions, kafka.partitions asks for 16") {
		t.Errorf("error is %v, want one that names both numbers", err)
	}
	compact := "compact,delete"
	if _, err := admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Name: "cleanup.policy", Value: &compact}}, topics.Votes); err != nil {
		t.Fatal(err)
	}
	if _, err := events.EnsureTopics(t.Context(), client, cfg, topics); err == nil || !strings.Contains(err.Error(), "compact") {
		t.Errorf("error is %v, want one that speaks of compaction", err)
	}
}

// What the cluster has counts, whatever the settings say of topics that are yet to be made.
func TestWeakPromises(t *testing.T) {
	t.Parallel()
	cfg := config.DefaultKafka()
	for name, test := range map[string]struct {
		topic events.Topic
		want  []string
	}{
		"three brokers":          {events.Topic{Replicas: 3, InSync: 2, Retention: cfg.Retention}, nil},
		"one":                    {events.Topic{Replicas: 1, InSync: 1, Retention: time.Hour}, []string{"one Kafka replica"}},
		"three, one may be last": {events.Topic{Replicas: 3, InSync: 1, Retention: cfg.Retention}, []string{"min.insync.replicas"}},
		"kept too long":          {events.Topic{Replicas: 3, InSync: 2, Retention: cfg.Retention + 1}, []string{"kafka.retention"}},
		"kept for ever":          {events.Topic{Replicas: 1, InSync: 1, Retention: -1}, []string{"one Kafka replica", "kafka.retention"}},
	} {
		got := test.topic.Weak(cfg)
		if len(got) != len(test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
			continue
		}
		for i := range got {
			if !strings.Contains(got[i], test.want[i]) {
				t.Errorf("%s: %q, want %q", name, got, test.want)
			}
		}
	}
	topics := events.NewTopics(testenv.Topic(t))
	made, client, _ := kafka(t)
	found := ensure(t, client, made, topics)
	if found.Retention != made.Retention || found.InSync != 1 || found.Replicas != 1 {
		t.Errorf("%+v, made by %+v", found, made)
	}
}

func TestLaneDecidesThePartition(t *testing.T) {
	t.Parallel()
	cfg, client, topics := kafka(t)
	ensure(t, client, cfg, topics)
	for key, want := range map[string]int32{
		string(events.Key("main", 0)):          0,
		string(events.Key("main", 7)):          7,
		string(events.Key("cast", 13)):         5,
		string(events.Key("main", 4294967295)): 7,
	} {
		r := produce(t, client, &kgo.Record{Topic: topics.Votes, Key: []byte(key), Value: []byte("x")})
		if r.Partition != want {
			t.Errorf("key %s went to partition %d, want %d", key, r.Partition, want)
		}
	}
	first := produce(t, client, &kgo.Record{Topic: topics.Votes, Key: []byte("no lane"), Value: []byte("x")})
	again := produce(t, client, &kgo.Record{Topic: topics.Votes, Key: []byte("no lane"), Value: []byte("x")})
	if first.Partition != again.Partition {
		t.Error("one key went to two partitions")
	}
}

func produce(t testing.TB, client *kgo.Client, r *kgo.Record) *kgo.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := client.ProduceSync(ctx, r).First()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func expectSettings(t testing.TB, admin *kadm.Client, topic string, want map[string]string) {
	t.Helper()
	found, err := admin.DescribeTopicConfigs(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range found[0].Configs {
		if value, ok := want[c.Key]; ok {
			if c.MaybeValue() != value {
				t.Errorf("%s of %s is %s, want %s", c.Key, topic, c.MaybeValue(), value)
			}
			delete(want, c.Key)
		}
	}
	if len(want) > 0 {
		t.Errorf("%s lacks settings %v", topic, want)
	}
}
