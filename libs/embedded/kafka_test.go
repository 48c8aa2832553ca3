package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/littlevote/littlevote/libs/embedded"
	"github.com/littlevote/littlevote/libs/embedded/filelock"
)

func startKafka(t *testing.T, dir string) *embedded.KafkaServer {
	t.Helper()
	server, err := embedded.Kafka(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

func connect(t *testing.T, server *embedded.KafkaServer, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(server.Brokers()...))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// playKafka is the part of the process that is killed: it reports the topic's id once its records are acknowledged.
func playKafka(ctx context.Context, dir string) (string, error) {
	server, err := embedded.Kafka(dir)
	if err != nil {
		return "", err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(server.Brokers()...))
	if err != nil {
		return "", err
	}
	topic, err := kadm.NewClient(client).CreateTopic(ctx, 1, 1, nil, "votes")
	if err := errors.Join(err, topic.Err); err != nil {
		return "", err
	}
	for i := range 3 {
		record := &kgo.Record{Topic: "votes", Value: fmt.Append(nil, i)}
		if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
			return "", err
		}
	}
	return topic.ID.String(), nil
}

func TestKafkaKeepsAcknowledgedRecordsThroughAKill(t *testing.T) {
	dir := t.TempDir()
	victim := startVictim(t, "kafka", dir)
	victim.kill(t)

	client := connect(t, startKafka(t, dir), kgo.ConsumeTopics("votes"))
	topics, err := kadm.NewClient(client).ListTopics(t.Context(), "votes")
	if err != nil {
		t.Fatal(err)
	}
	if id := topics["votes"].ID.String(); id != victim.report {
		t.Errorf("the topic's id is %s, it was %s", id, victim.report)
	}
	var got []string
	for len(got) < 3 {
		fetches := client.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) { got = append(got, fmt.Sprintf("%d=%s", r.Offset, r.Value)) })
	}
	if diff := cmp.Diff([]string{"0=0", "1=1", "2=2"}, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

func TestKafkaMakesNoTopicByItsName(t *testing.T) {
	client := connect(t, startKafka(t, ""), kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(0))
	err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "misspelt", Value: []byte("x")}).FirstErr()
	if !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("producing into a topic that nobody made: %v", err)
	}
}

func TestKafkaDataHasOneOwner(t *testing.T) {
	dir := t.TempDir()
	startKafka(t, dir)
	if _, err := embedded.Kafka(dir); !errors.Is(err, filelock.ErrHeld) {
		t.Errorf("a second Kafka on the same data: %v", err)
	}
}
