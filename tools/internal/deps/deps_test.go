package deps

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSelected(t *testing.T) {
	for _, test := range []struct {
		only, want []string
	}{
		{nil, Names()},
		{[]string{Etcd, Redis}, []string{Redis, Etcd}},
		{[]string{PostgresReplica}, []string{Postgres, PostgresReplica}},
	} {
		got, err := selected(test.only)
		if err != nil {
			t.Errorf("selected(%v): %v", test.only, err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("selected(%v) (-want +got):\n%s", test.only, diff)
		}
	}
	if _, err := selected([]string{"mysql"}); err == nil || !strings.Contains(err.Error(), "mysql") {
		t.Errorf("an unknown server: %v", err)
	}
}

func TestAddressesInWords(t *testing.T) {
	addresses := Addresses{
		{Name: Redis, Value: "redis://127.0.0.1:1"}, {Name: Kafka, Value: "127.0.0.1:2"},
		{Name: Postgres, Value: "postgres://u:p@127.0.0.1:3/d?sslmode=disable"}, {Name: Etcd, Value: "127.0.0.1:5"},
	}
	const lines = `redis=redis://127.0.0.1:1
kafka=127.0.0.1:2
postgres=postgres://u:p@127.0.0.1:3/d?sslmode=disable
etcd=127.0.0.1:5
`
	if diff := cmp.Diff(lines, addresses.String()); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	const env = `export LITTLEVOTE_TEST_REDIS_URL='redis://127.0.0.1:1'
export LITTLEVOTE_TEST_KAFKA_BROKERS='127.0.0.1:2'
export LITTLEVOTE_TEST_POSTGRES_URL='postgres://u:p@127.0.0.1:3/d?sslmode=disable'
export LITTLEVOTE_TEST_ETCD_ENDPOINTS='http://127.0.0.1:5'
`
	if diff := cmp.Diff(env, addresses.Env()); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
}

func TestAddressesAsSettings(t *testing.T) {
	single := Addresses{
		{Name: Redis, Value: "redis://127.0.0.1:1"}, {Name: Kafka, Value: "127.0.0.1:2"}, {Name: Postgres, Value: "postgres://u:p@127.0.0.1:3/d"},
		{Name: PostgresReplica, Value: "postgres://u:p@127.0.0.1:4/d"}, {Name: Etcd, Value: "127.0.0.1:5"},
	}
	const want = `redis.url: "redis://127.0.0.1:1"
kafka.brokers: "127.0.0.1:2"
postgres.url: "postgres://u:p@127.0.0.1:3/d"
postgres.replica-url: "postgres://u:p@127.0.0.1:4/d"
ticket.lock-etcd-endpoints: "http://127.0.0.1:5"
`
	if diff := cmp.Diff(want, single.Settings()); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	several := Addresses{
		{Name: RedisSentinel + "-1", Value: "127.0.0.1:1"}, {Name: RedisSentinel, Value: "redis+sentinel://127.0.0.1:1/littlevote"},
		{Name: KafkaCluster, Value: "127.0.0.1:2,127.0.0.1:3"},
	}
	const wantSeveral = `redis.url: "redis+sentinel://127.0.0.1:1/littlevote"
redis.replicated: true
kafka.brokers: "127.0.0.1:2,127.0.0.1:3"
kafka.replication: 3
`
	if diff := cmp.Diff(wantSeveral, several.Settings()); diff != "" {
		t.Errorf("settings of several (-want +got):\n%s", diff)
	}
}

func TestUpNamesWhatIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Up(t.Context(), t.TempDir(), Options{Only: []string{Redis, Kafka, Etcd}})
	if err == nil {
		t.Fatal("started without the programs")
	}
	for _, want := range []string{"redis-server", "java", "openjdk-17-jre-headless", "mvn", "etcd-server", "--install"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s: %v", want, err)
		}
	}
}

func TestDownWhereNothingEverRanDoesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "never")
	var said bytes.Buffer
	if err := Down(t.Context(), dir, &said); err != nil || said.Len() > 0 {
		t.Errorf("down: %v, %q", err, said.String())
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("down made the directory")
	}
}
