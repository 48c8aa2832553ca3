//go:build deps

// The real servers, as CI has them: go test -tags=deps ./internal/deps

package deps

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/littlevote/littlevote/libs/testenv"
)

type log struct{ t *testing.T }

func (l log) Write(p []byte) (int, error) {
	l.t.Logf("%s", p)
	return len(p), nil
}

func mustUp(t *testing.T, dir string) map[string]Address {
	t.Helper()
	cache := filepath.Join(os.TempDir(), "littlevote-kafka")
	all, err := Up(t.Context(), dir, Options{Progress: log{t}, CacheDir: cache})
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]Address{}
	for _, address := range all {
		byName[address.Name] = address
	}
	return byName
}

func TestServersKeepTheirDataThroughAKill(t *testing.T) {
	dir := testenv.Dir(t)
	t.Cleanup(func() {
		if err := Down(context.Background(), dir, log{t}); err != nil {
			t.Error(err)
		}
	})
	before := mustUp(t, dir)
	write(t, before)
	for _, address := range before {
		if err := syscall.Kill(address.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	testenv.Eventually(t, 10*time.Second, func() error { return noneRuns(dir) })

	after := mustUp(t, dir)
	for name, address := range after {
		if address.Value != before[name].Value {
			t.Errorf("%s was at %s and is at %s", name, before[name].Value, address.Value)
		}
	}
	mustRead(t, after)

	if err := Down(t.Context(), dir, log{t}); err != nil {
		t.Fatal(err)
	}
	if err := noneRuns(dir); err != nil {
		t.Error(err)
	}
}

func noneRuns(dir string) error {
	all, err := Status(dir)
	for _, address := range all {
		if address.PID != 0 {
			err = errors.Join(err, fmt.Errorf("%s still runs", address.Name))
		}
	}
	return err
}

func write(t *testing.T, at map[string]Address) {
	t.Helper()
	options, err := redis.ParseURL(at[Redis].Value)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(options)
	// A kill spares what the server has handed to the kernel, and it does that before it answers.
	if err := errors.Join(c.Set(t.Context(), "key", "kept", 0).Err(), c.Close()); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), at[Postgres].Value)
	if err != nil {
		t.Fatal(err)
	}
	_, err = conn.Exec(t.Context(), "CREATE TABLE votes AS SELECT 'kept'::text AS vote")
	if err := errors.Join(err, conn.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	k, err := kgo.NewClient(kgo.SeedBrokers(at[Kafka].Value))
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if _, err := kadm.NewClient(k).CreateTopic(t.Context(), 1, 1, nil, "votes"); err != nil {
		t.Fatal(err)
	}
	if err := k.ProduceSync(t.Context(), &kgo.Record{Topic: "votes", Value: []byte("kept")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// mustRead reads what write wrote, from Postgres by the replica.
func mustRead(t *testing.T, at map[string]Address) {
	t.Helper()
	options, err := redis.ParseURL(at[Redis].Value)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(options)
	got, err := c.Get(t.Context(), "key").Result()
	if err := errors.Join(err, c.Close()); err != nil || got != "kept" {
		t.Errorf("redis has %q, %v", got, err)
	}
	testenv.Eventually(t, 10*time.Second, func() error {
		vote, err := query(t.Context(), at[PostgresReplica].Value, "SELECT vote FROM votes WHERE pg_is_in_recovery()")
		if err == nil && vote != "kept" {
			err = fmt.Errorf("the replica has %q", vote)
		}
		return err
	})
	k, err := kgo.NewClient(kgo.SeedBrokers(at[Kafka].Value), kgo.ConsumeTopics("votes"))
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	fetches := k.PollFetches(t.Context())
	if records := fetches.Records(); len(records) != 1 || string(records[0].Value) != "kept" {
		t.Errorf("kafka has %d records, %v", len(records), fetches.Err())
	}
}
