//go:build deps

package deps

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/testenv"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
	"github.com/littlevote/littlevote/services/persister"
)

// startOnly starts some servers for a test, which stops them.
func startOnly(t *testing.T, dir string, opts Options) map[string]Address {
	t.Helper()
	t.Cleanup(func() {
		if err := Down(context.Background(), dir, log{t}); err != nil {
			t.Error(err)
		}
	})
	return startAgain(t, dir, opts)
}

func startAgain(t *testing.T, dir string, opts Options) map[string]Address {
	t.Helper()
	opts.Progress, opts.CacheDir = log{t}, filepath.Join(os.TempDir(), "littlevote-kafka")
	all, err := Up(t.Context(), dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]Address{}
	for _, address := range all {
		byName[address.Name] = address
	}
	return byName
}

func kill(t *testing.T, address Address) {
	t.Helper()
	if err := syscall.Kill(address.PID, syscall.SIGKILL); err != nil {
		t.Fatalf("%s: %v", address.Name, err)
	}
}

// flow is a stream of votes for A through Kafka, and a persister that applies them.
type flow struct {
	*testing.T
	kafka    config.Kafka
	pool     *pgxpool.Pool
	producer *kgo.Client
	sent     atomic.Int64
}

func newFlow(t *testing.T, brokers []string, replication int, postgres string) *flow {
	t.Helper()
	f := &flow{T: t, kafka: config.DefaultKafka()}
	f.kafka.Brokers, f.kafka.TopicPrefix, f.kafka.Partitions, f.kafka.Replication = brokers, testenv.Topic(t), 4, replication
	quiet := slog.New(slog.DiscardHandler)
	if err := pgledger.Migrate(t.Context(), postgres, quiet); err != nil {
		t.Fatal(err)
	}
	cfg := persister.DefaultConfig()
	cfg.Persister.Listen, cfg.Kafka, cfg.Postgres.URL = "127.0.0.1:0", f.kafka, postgres
	var err error
	if f.pool, err = pgledger.Open(t.Context(), cfg.Postgres); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.pool.Close)
	if _, err := f.pool.Exec(t.Context(), `
		INSERT INTO ledger_epoch (epoch, mode, state, ns, replicated, reason) VALUES (1, 'redis', 'open', 'ns', false, 'test')`); err != nil {
		t.Fatal(err)
	}
	if f.producer, err = events.NewProducer(f.kafka, quiet); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.producer.Close)
	if _, err := events.EnsureTopics(t.Context(), f.producer, f.kafka, events.NewTopics(f.kafka.TopicPrefix)); err != nil {
		t.Fatal(err)
	}
	f.run(cfg)
	return f
}

// run runs a persister until the test ends.
func (f *flow) run(cfg persister.Config) {
	f.Helper()
	work, err := persister.New(f.Context(), cfg, service.Host{
		Tracer: tracenoop.Tracer{},
		Log:    slog.New(slog.NewTextHandler(log{f.T}, &slog.HandlerOptions{Level: slog.LevelError})), Health: service.NewHealth(), Meter: noop.Meter{},
	})
	if err != nil {
		f.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- work.Run(ctx) }()
	f.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			f.Error(err)
		}
	})
}

// begin sends votes until the returned function is called; each that is counted as sent is acknowledged by Kafka.
func (f *flow) begin() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		for lane := uint32(0); ctx.Err() == nil; lane++ {
			id, vote := uuid.Must(uuid.NewV7()), uuid.New()
			value, err := events.Encode(&eventv1.VoteBatch{
				Format: 1, BatchId: id[:], Epoch: 1, Ballot: "main", AdmittedAtMs: time.Now().UnixMilli(), TicketVersion: "1.1.0",
				FirstAdmissionNumber: int64(lane) + 1, Candidates: []string{"A"},
				Votes: []*eventv1.VoteEvent{{VoteId: vote[:], Candidates: []uint32{0}, Deltas: []int64{1}}},
			})
			if err != nil {
				f.Error(err)
				return
			}
			// Until it is acknowledged: a copy that is too many is a duplicate by its batch id.
			record := kgo.Record{Topic: f.kafka.TopicPrefix + "vote-events", Key: events.Key("main", lane), Value: value}
			for ctx.Err() == nil {
				attempt := record
				if f.producer.ProduceSync(ctx, &attempt).FirstErr() == nil {
					f.sent.Add(1)
					break
				}
			}
		}
	})
	return func() { cancel(); done.Wait() }
}

func (f *flow) votes() (int64, error) {
	ctx, cancel := context.WithTimeout(f.Context(), 5*time.Second)
	defer cancel()
	var votes int64
	err := f.pool.QueryRow(ctx, "SELECT coalesce((SELECT votes FROM user_votes WHERE ballot = 'main' AND username = 'A'), 0)").Scan(&votes)
	return votes, err
}

// await waits for a count, and returns the one it found.
func (f *flow) await(least int64) int64 {
	f.Helper()
	var votes int64
	testenv.Eventually(f, time.Minute, func() (err error) {
		if votes, err = f.votes(); err == nil && votes < least {
			err = fmt.Errorf("%d votes, want %d", votes, least)
		}
		return err
	})
	return votes
}

// settle waits until every vote that was sent counts, once.
func (f *flow) settle() {
	f.Helper()
	sent := f.sent.Load()
	f.await(sent)
	report, err := pgledger.Recount(f.Context(), f.pool)
	if err != nil || !report.OK() {
		f.Errorf("recount: %+v, %v", report, err)
	}
	// One that was not acknowledged when the flow stopped may count or not.
	if votes, err := f.votes(); err != nil || votes > sent+1 {
		f.Errorf("%d votes for %d sent, %v", votes, sent, err)
	}
}

// The primary dies under load and the replica is promoted: a committed vote is never gone, and the rest follows.
func TestPostgresFailoverLosesNothing(t *testing.T) {
	dir := testenv.Dir(t)
	opts := Options{Only: []string{PostgresReplica}, Synchronous: true}
	at := startOnly(t, dir, opts)
	postgres, err := FailoverURL(Addresses{at[Postgres], at[PostgresReplica]})
	if err != nil {
		t.Fatal(err)
	}
	f := newFlow(t, testenv.Kafka(t), 1, postgres)
	stop := f.begin()
	defer stop()
	before := f.await(200)
	kill(t, at[Postgres])
	if err := Promote(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	after := f.await(before)
	f.await(after + 200)
	t.Logf("votes were applied again %v after the promotion", time.Since(began))
	stop()
	f.settle()

	// The next Up begins with the first server again, and makes the replica anew.
	again := startAgain(t, dir, opts)
	if again[Postgres].Value != at[Postgres].Value || again[PostgresReplica].PID == at[PostgresReplica].PID {
		t.Errorf("it was %v and is %v", at, again)
	}
}

// Three brokers: the loss of one is not noticed, the loss of two stops acknowledgements, and everything goes on after.
func TestKafkaClusterOutlivesABroker(t *testing.T) {
	dir := testenv.Dir(t)
	opts := Options{Only: []string{KafkaCluster, Postgres}}
	at := startOnly(t, dir, opts)
	f := newFlow(t, strings.Split(at[KafkaCluster].Value, ","), 3, at[Postgres].Value)
	stop := f.begin()
	defer stop()
	f.await(100)
	kill(t, at[KafkaCluster+"-1"])
	f.await(f.sent.Load() + 100)

	kill(t, at[KafkaCluster+"-2"])
	testenv.Eventually(t, 30*time.Second, func() error {
		before := f.sent.Load()
		select {
		case <-time.After(2 * time.Second):
		case <-t.Context().Done():
		}
		if after := f.sent.Load(); after != before {
			return errors.New("one broker alone acknowledges")
		}
		return nil
	})
	startAgain(t, dir, opts)
	f.await(f.sent.Load() + 100)
	stop()
	f.settle()
}
