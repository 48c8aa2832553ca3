package testenv

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/littlevote/littlevote/libs/embedded"
)

// Redis is the URL of a Redis. An embedded one is empty and this caller's alone.
func Redis(t testing.TB) string {
	t.Helper()
	if url := os.Getenv("LITTLEVOTE_TEST_REDIS_URL"); url != "" {
		return url
	}
	server, err := embedded.Redis(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	closeAfter(t, server.Close)
	return server.URL()
}

// Kafka are the addresses of a Kafka's brokers. An embedded one is empty and this caller's alone.
func Kafka(t testing.TB) []string {
	t.Helper()
	if brokers := os.Getenv("LITTLEVOTE_TEST_KAFKA_BROKERS"); brokers != "" {
		return strings.Split(brokers, ",")
	}
	server, err := embedded.Kafka("")
	if err != nil {
		t.Fatal(err)
	}
	closeAfter(t, server.Close)
	return server.Brokers()
}

// KafkaReplication is how many replicas topics are to have there.
func KafkaReplication(t testing.TB) int {
	t.Helper()
	text := os.Getenv("LITTLEVOTE_TEST_KAFKA_REPLICATION")
	if text == "" {
		return 1
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("LITTLEVOTE_TEST_KAFKA_REPLICATION: %v", err)
	}
	return n
}

// Etcd are the endpoints of an etcd, which this process's tests share.
func Etcd(t testing.TB) []string {
	t.Helper()
	if endpoints := os.Getenv("LITTLEVOTE_TEST_ETCD_ENDPOINTS"); endpoints != "" {
		return strings.Split(endpoints, ",")
	}
	etcd, err := sharedEtcd()
	if err != nil {
		t.Fatal(err)
	}
	return etcd.server.Endpoints()
}

func closeAfter(t testing.TB, closeServer func() error) {
	t.Helper()
	t.Cleanup(func() {
		if err := closeServer(); err != nil {
			t.Errorf("stop a server of the test: %v", err)
		}
	})
}
