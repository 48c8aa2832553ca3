package offsets

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/testenv"
)

// log is a topic of two partitions with three records in each, and a database that has applied them up to some offsets.
type log struct {
	*testing.T
	url    string
	pool   *pgxpool.Pool
	kafka  config.Kafka
	client *kgo.Client
	admin  *kadm.Client
	topics events.Topics
	id     uuid.UUID
}

func newLog(t *testing.T, applied ...int64) *log {
	t.Helper()
	t.Parallel()
	l := &log{T: t, url: testenv.Postgres(t), kafka: config.DefaultKafka()}
	quiet := slog.New(slog.DiscardHandler)
	if err := pgledger.Migrate(t.Context(), l.url, quiet); err != nil {
		t.Fatal(err)
	}
	var err error
	if l.pool, err = pgledger.Open(t.Context(), config.Postgres{URL: l.url, PoolSize: 2}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.pool.Close)
	l.kafka.Brokers, l.kafka.TopicPrefix, l.kafka.Partitions = testenv.Kafka(t), testenv.Topic(t), len(applied)
	l.topics = events.NewTopics(l.kafka.TopicPrefix)
	if l.client, err = events.NewProducer(l.kafka, quiet); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.client.Close)
	l.admin = kadm.NewClient(l.client)
	l.makeTopic()
	for partition, next := range applied {
		for range 3 {
			r := &kgo.Record{Topic: l.topics.Votes, Key: events.Key("main", uint32(partition)), Value: []byte("x")}
			if err := l.client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := l.pool.Exec(t.Context(), "INSERT INTO offsets VALUES ($1, $2, $3, now())", l.id, partition, next); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func (l *log) makeTopic() {
	l.Helper()
	testenv.Eventually(l, 20*time.Second, func() error {
		topic, err := events.EnsureTopics(l.Context(), l.client, l.kafka, l.topics)
		if err == nil && topic.ID == l.id {
			err = errors.New("the topic is the old one")
		}
		if err == nil {
			l.id = topic.ID
		}
		return err
	})
}

// forget deletes the records of a partition before an offset.
func (l *log) forget(partition int32, before int64) {
	l.Helper()
	gone := kadm.Offsets{}
	gone.AddOffset(l.topics.Votes, partition, before, -1)
	if _, err := l.admin.DeleteRecords(l.Context(), gone); err != nil {
		l.Fatal(err)
	}
}

func (l *log) run(args ...string) (string, error) {
	var out bytes.Buffer
	cmd := Command()
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(append(args, "--postgres-url="+l.url, "--kafka-brokers="+strings.Join(l.kafka.Brokers, ","),
		"--kafka-topic-prefix="+l.kafka.TopicPrefix, "--data-dir="+l.TempDir()))
	err := cmd.ExecuteContext(l.Context())
	return out.String(), err
}

// stands fails unless the offsets of the topic are these.
func (l *log) stands(want ...int64) {
	l.Helper()
	next, err := pgledger.Offsets(l.Context(), l.pool, l.id, len(want))
	if err != nil {
		l.Fatal(err)
	}
	for partition, w := range want {
		if next[int32(partition)] != w {
			l.Errorf("partition %d stands at %d, want %d", partition, next[int32(partition)], w)
		}
	}
}

// F24: records are gone before they were read. Nothing moves before a person has said so, and then only that partition.
func TestAcceptLostRecords(t *testing.T) {
	l := newLog(t, 1, 3)
	l.forget(0, 2)
	out, err := l.run("show")
	if err != nil || !strings.Contains(out, "partition 0: goes on at 1, Kafka has 2 to 2, 0 behind") || !strings.Contains(out, gone) ||
		!strings.Contains(out, "partition 1: goes on at 3, Kafka has 0 to 2, 0 behind") {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = l.run("accept", "0")
	if err == nil || !strings.Contains(err.Error(), "nothing was changed") || !strings.Contains(out, "records 1 to 1 are gone from Kafka") {
		t.Errorf("without --yes: %v\n%s", err, out)
	}
	l.stands(1, 3)
	if _, err := l.run("accept", "--yes", "1"); err == nil || !strings.Contains(err.Error(), "partition 1 is not halted") {
		t.Errorf("a partition that is well: %v", err)
	}
	if out, err := l.run("accept", "--yes", "--all"); err != nil || !strings.Contains(out, "partition 0: goes on at 2") {
		t.Errorf("%v\n%s", err, out)
	}
	l.stands(2, 3)
	if _, err := l.run("accept", "--yes", "--all"); err == nil {
		t.Error("there was nothing more to accept")
	}
}

// Kafka has lost records that were applied: all that it has is read again, and what counted counts no second time.
func TestAcceptALogThatWasCutOff(t *testing.T) {
	l := newLog(t, 9)
	if out, err := l.run("accept", "--yes", "0"); err != nil || !strings.Contains(out, "applied up to 9, and Kafka ends at 3") {
		t.Errorf("%v\n%s", err, out)
	}
	l.stands(0)
}

// F24: the topic was deleted and made anew.
func TestAcceptANewTopic(t *testing.T) {
	l := newLog(t, 3, 2)
	if _, err := l.admin.DeleteTopic(t.Context(), l.topics.Votes); err != nil {
		t.Fatal(err)
	}
	l.makeTopic()
	if out, err := l.run("show"); err != nil || strings.Count(out, newTopic) != 2 {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err := l.run("accept", "--yes", "0"); err == nil || !strings.Contains(err.Error(), "--all") {
		t.Errorf("a part of it: %v", err)
	}
	if out, err := l.run("accept", "--yes", "--all"); err != nil || !strings.Contains(out, "made anew") {
		t.Errorf("%v\n%s", err, out)
	}
	l.stands(0, 0)
	var rows int
	if err := l.pool.QueryRow(t.Context(), "SELECT count(*) FROM offsets").Scan(&rows); err != nil || rows != 2 {
		t.Errorf("%d rows, %v", rows, err)
	}
}

func TestMistakes(t *testing.T) {
	l := newLog(t, 0)
	for _, args := range [][]string{{"accept"}, {"accept", "--all", "0"}, {"accept", "7"}, {"accept", "x"}} {
		_, err := l.run(args...)
		var keyed *config.KeyError
		if !errors.As(err, &keyed) {
			t.Errorf("%v: %v, want a mistake in the command line", args, fmt.Sprint(err))
		}
	}
}
