package embedded

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A consumer's written-down offset must stay meaningful when everything has expired and the broker starts again.
func TestRetentionKeepsThePlaceInTheLog(t *testing.T) {
	dir := t.TempDir()
	first := expiredLog(t, dir)
	if err := first.removeExpired(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	before := first.cluster.PartitionInfo("votes", 0)
	if before.LogStartOffset != 2 || before.HighWatermark != 3 {
		t.Errorf("of offsets 0 to 2, all expired, %d to %d are kept, not the last one", before.LogStartOffset, before.HighWatermark-1)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	second, err := Kafka(dir)
	if err != nil {
		t.Fatal(err)
	}
	if after := second.cluster.PartitionInfo("votes", 0); after.HighWatermark != 3 {
		t.Errorf("the next record's offset is %d after a restart, and was 3", after.HighWatermark)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
}

// expiredLog starts a broker with three records that are past their retention.
func expiredLog(t *testing.T, dir string) *KafkaServer {
	t.Helper()
	server, err := Kafka(dir)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(server.Brokers()...), kgo.DefaultProduceTopic("votes"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	second := "1000"
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, map[string]*string{"retention.ms": &second}, "votes"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		record := &kgo.Record{Value: []byte("old"), Timestamp: time.Now().Add(-time.Hour)}
		if err := client.ProduceSync(t.Context(), record).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	return server
}
