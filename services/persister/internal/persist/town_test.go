package persist

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/testenv"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

const patience = 30 * time.Second

// town is a ledger with epoch 1 open, a topic, and what looks after them.
type town struct {
	*testing.T
	kafka  config.Kafka
	url    string // of Postgres
	pool   *pgxpool.Pool
	client *kgo.Client // produces
	admin  *kadm.Client
	topics events.Topics
	topic  events.Topic
	next   int64 // admission number
}

func newTown(t *testing.T, partitions int) *town {
	t.Helper()
	return newTownOn(t, partitions, testenv.Kafka(t), testenv.KafkaReplication(t))
}

func newTownOn(t *testing.T, partitions int, brokers []string, replication int) *town {
	t.Helper()
	t.Parallel()
	w := &town{T: t, url: testenv.Postgres(t), next: 1}
	if err := pgledger.Migrate(t.Context(), w.url, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	w.pool = w.connect(w.url)
	w.setEpoch(1, "open")
	w.kafka = config.DefaultKafka()
	w.kafka.Brokers, w.kafka.TopicPrefix, w.kafka.Partitions = brokers, testenv.Topic(t), partitions
	w.kafka.Replication = replication
	w.client = w.producer()
	w.admin = kadm.NewClient(w.client)
	w.topics = events.NewTopics(w.kafka.TopicPrefix)
	w.ensureTopics()
	return w
}

func (w *town) ensureTopics() {
	w.Helper()
	topic, err := events.EnsureTopics(w.Context(), w.client, w.kafka, w.topics)
	if err != nil {
		w.Fatal(err)
	}
	w.topic = topic
}

func (w *town) connect(url string) *pgxpool.Pool {
	w.Helper()
	cfg := config.DefaultPostgres()
	cfg.URL = url
	pool, err := pgledger.Open(w.Context(), cfg)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(pool.Close)
	return pool
}

func (w *town) producer() *kgo.Client {
	w.Helper()
	client, err := events.NewProducer(w.kafka, slog.New(slog.DiscardHandler), kgo.ProducerBatchMaxBytes(2<<20))
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(client.Close)
	return client
}

func (w *town) exec(statement string, args ...any) {
	w.Helper()
	if _, err := w.pool.Exec(w.Context(), statement, args...); err != nil {
		w.Fatal(err)
	}
}

func (w *town) setEpoch(epoch int64, state string) {
	w.Helper()
	w.exec(`
		INSERT INTO ledger_epoch (epoch, mode, state, ns, replid, replicated, reason)
		VALUES ($1, 'redis', $2, 'ns', '', false, 'test')
		ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch, state = excluded.state`, epoch, state)
}

func query[T any](w *town, statement string, args ...any) T {
	w.Helper()
	rows, err := w.pool.Query(w.Context(), statement, args...)
	if err != nil {
		w.Fatal(err)
	}
	value, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	if err != nil {
		w.Fatal(err)
	}
	return value
}

// batch has one vote for each of the names.
func (w *town) batch(names ...string) *eventv1.VoteBatch {
	id := uuid.Must(uuid.NewV7())
	b := &eventv1.VoteBatch{
		Format: 1, BatchId: id[:], Epoch: 1, Ballot: "main", AdmittedAtMs: time.Now().UnixMilli(),
		TicketVersion: "1.1.0", FirstAdmissionNumber: w.next,
	}
	for i, name := range names {
		vote := uuid.New()
		b.Candidates = append(b.Candidates, name)
		b.Votes = append(b.Votes, &eventv1.VoteEvent{VoteId: vote[:], Candidates: []uint32{uint32(i)}, Deltas: []int64{1}})
	}
	w.next += int64(len(names))
	return b
}

// send produces batches into one partition.
func (w *town) send(partition int, batches ...*eventv1.VoteBatch) {
	w.Helper()
	for _, b := range batches {
		value, err := events.Encode(b)
		if err != nil {
			w.Fatal(err)
		}
		w.sendRaw(partition, value)
	}
}

func (w *town) sendRaw(partition int, value []byte) {
	w.Helper()
	r := &kgo.Record{Topic: w.topics.Votes, Key: events.Key("main", uint32(partition)), Value: value}
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	if err := w.client.ProduceSync(ctx, r).FirstErr(); err != nil {
		w.Fatal(err)
	}
	if r.Partition != int32(partition) {
		w.Fatalf("the record went to partition %d", r.Partition)
	}
}

func (w *town) votes(name string) int64 {
	w.Helper()
	tallies, err := pgledger.Tallies(w.Context(), w.pool, "main", []string{name})
	if err != nil {
		w.Fatal(err)
	}
	if len(tallies) == 0 {
		return 0
	}
	return tallies[0].Votes
}

// awaitVotes waits until a candidate has so many votes, and then fails if the ledger does not agree.
func (w *town) awaitVotes(name string, want int64) {
	w.Helper()
	w.eventually(func() error {
		if got := w.votes(name); got != want {
			return fmt.Errorf("%s has %d votes, want %d", name, got, want)
		}
		return nil
	})
	w.expectRecount()
}

func (w *town) expectRecount() {
	w.Helper()
	report, err := pgledger.Recount(w.Context(), w.pool)
	if err != nil {
		w.Fatal(err)
	}
	if !report.OK() {
		w.Errorf("the recount differs: %+v", report)
	}
}

// awaitOffset waits until a partition has been passed up to an offset.
func (w *town) awaitOffset(partition int, want int64) {
	w.Helper()
	w.eventually(func() error {
		if got := w.offset(partition); got != want {
			return fmt.Errorf("partition %d stands at %d, want %d", partition, got, want)
		}
		return nil
	})
}

func (w *town) offset(partition int) int64 {
	w.Helper()
	return query[int64](w, "SELECT coalesce((SELECT next FROM offsets WHERE topic_id = $1 AND partition = $2), -1)", w.topic.ID, partition)
}

func (w *town) eventually(check func() error) {
	w.Helper()
	testenv.Eventually(w, patience, check)
}

// running is a persister at work.
type running struct {
	*Persister
	w    *town
	logs *logs
	run  func(context.Context) error
	stop func()
}

// start runs a persister until the test ends or stop is called.
func (w *town) start(change ...func(*Config, *Persister)) *running {
	w.Helper()
	r := w.prepare(w.pool, change...)
	r.begin()
	return r
}

// prepare makes a persister on a pool of its own.
func (w *town) prepare(pool *pgxpool.Pool, change ...func(*Config, *Persister)) *running {
	w.Helper()
	cfg := Config{
		ID: testenv.Namespace(w), Group: "test", Kafka: w.kafka,
		Participant:  config.Participant{Lease: time.Minute, Heartbeat: 50 * time.Millisecond},
		BatchRecords: 1000, BatchVotes: 10_000, BufferBytes: 4 << 20,
		TransactionTimeout: 10 * time.Second, SessionTimeout: 6 * time.Second, GroupHeartbeat: 100 * time.Millisecond,
		Weak: func(string) {},
	}
	logs := &logs{}
	p, err := New(cfg, pool, w.producer(), noop.Meter{}, slog.New(logs))
	if err != nil {
		w.Fatal(err)
	}
	for _, c := range change {
		c(&p.cfg, p)
	}
	return &running{Persister: p, w: w, logs: logs, run: p.Run}
}

func (r *running) begin() {
	r.w.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		r.w.Helper()
		begin := time.Now()
		cancel()
		if err := <-ended; err != nil {
			r.w.Errorf("run: %v", err)
		}
		if took := time.Since(begin); took > 10*time.Second {
			r.w.Errorf("the stop took %v", took)
		}
	})
	r.w.Cleanup(r.stop)
}

// awaitReady waits until the persister is in its group and nothing is wrong.
func (r *running) awaitReady() {
	r.w.Helper()
	r.w.eventually(func() error { return r.Ready(r.w.Context()) })
}

// awaitTrouble waits until the persister says that something is wrong.
func (r *running) awaitTrouble(text string) {
	r.w.Helper()
	r.w.eventually(func() error {
		if err := r.Ready(r.w.Context()); err == nil || !strings.Contains(err.Error(), text) {
			return fmt.Errorf("ready says %w, want %q", err, text)
		}
		return nil
	})
}

func (r *running) awaitLog(text string) {
	r.w.Helper()
	r.w.eventually(func() error {
		if !r.logs.has(text) {
			return errors.New("no log of " + text)
		}
		return nil
	})
}

// logs keeps what was logged.
type logs struct {
	mu    sync.Mutex
	lines []string
	attrs []slog.Attr
	root  *logs
}

func (l *logs) Enabled(context.Context, slog.Level) bool { return true }

func (l *logs) Handle(_ context.Context, r slog.Record) error {
	line := r.Level.String() + " " + r.Message
	for _, a := range l.attrs {
		line += " " + a.String()
	}
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	to := l
	if l.root != nil {
		to = l.root
	}
	to.mu.Lock()
	defer to.mu.Unlock()
	to.lines = append(to.lines, line)
	return nil
}

func (l *logs) WithAttrs(attrs []slog.Attr) slog.Handler {
	root := l
	if l.root != nil {
		root = l.root
	}
	return &logs{attrs: append(l.attrs[:len(l.attrs):len(l.attrs)], attrs...), root: root}
}

func (l *logs) WithGroup(string) slog.Handler { return l }

func (l *logs) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line, text) {
			return true
		}
	}
	return false
}
