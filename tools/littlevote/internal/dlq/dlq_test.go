package dlq

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/protobuf/proto"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/testenv"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
	"github.com/littlevote/littlevote/services/persister"
)

// system is Kafka, Postgres with epoch 1 open, and a persister at work between them.
type system struct {
	*testing.T
	kafka    config.Kafka
	url      string
	pool     *pgxpool.Pool
	producer *kgo.Client
	topics   events.Topics
}

func newSystem(t *testing.T) *system {
	t.Helper()
	t.Parallel()
	s := &system{T: t, url: testenv.Postgres(t), kafka: config.DefaultKafka()}
	s.kafka.Brokers, s.kafka.TopicPrefix, s.kafka.Partitions = testenv.Kafka(t), testenv.Topic(t), 2
	s.topics = events.NewTopics(s.kafka.TopicPrefix)
	log := slog.New(slog.DiscardHandler)
	if err := pgledger.Migrate(t.Context(), s.url, log); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.pool, err = pgledger.Open(t.Context(), config.Postgres{URL: s.url, PoolSize: 4}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.pool.Close)
	s.setEpoch(1)
	if s.producer, err = events.NewProducer(s.kafka, log); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.producer.Close)
	if _, err := events.EnsureTopics(t.Context(), s.producer, s.kafka, s.topics); err != nil {
		t.Fatal(err)
	}
	s.startPersister(log)
	return s
}

func (s *system) startPersister(log *slog.Logger) {
	s.Helper()
	cfg := persister.DefaultConfig()
	cfg.Persister.Listen, cfg.Postgres.URL, cfg.Kafka = "127.0.0.1:0", s.url, s.kafka
	work, err := persister.New(s.Context(), cfg, service.Host{Tracer: tracenoop.Tracer{}, Log: log, Health: service.NewHealth(), Meter: noop.Meter{}})
	if err != nil {
		s.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- work.Run(ctx) }()
	s.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			s.Error(err)
		}
	})
}

func (s *system) setEpoch(epoch int64) {
	s.Helper()
	_, err := s.pool.Exec(s.Context(), `
		INSERT INTO ledger_epoch (epoch, mode, state, ns, replicated, reason) VALUES ($1, 'redis', 'open', 'ns', false, 'test')
		ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch`, epoch)
	if err != nil {
		s.Fatal(err)
	}
}

// run runs `littlevote dlq` and returns what it printed.
func (s *system) run(args ...string) (string, error) {
	s.Helper()
	var out bytes.Buffer
	cmd := Command()
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(append(args, "--postgres-url="+s.url, "--kafka-brokers="+strings.Join(s.kafka.Brokers, ","),
		"--kafka-topic-prefix="+s.kafka.TopicPrefix, "--data-dir="+s.TempDir()))
	err := cmd.ExecuteContext(s.Context())
	return out.String(), err
}

func (s *system) mustRun(args ...string) string {
	s.Helper()
	out, err := s.run(args...)
	if err != nil {
		s.Fatalf("dlq %v: %v\n%s", args, err, out)
	}
	return out
}

// list is what `dlq list --json` says.
func (s *system) list(args ...string) []view {
	s.Helper()
	var all []view
	decoder := json.NewDecoder(strings.NewReader(s.mustRun(append([]string{"list", "--json"}, args...)...)))
	for decoder.More() {
		var v view
		if err := decoder.Decode(&v); err != nil {
			s.Fatal(err)
		}
		all = append(all, v)
	}
	return all
}

func (s *system) awaitLetters(want int) []view {
	s.Helper()
	var all []view
	testenv.Eventually(s, 20*time.Second, func() error {
		if all = s.list(); len(all) != want {
			return fmt.Errorf("%d letters, want %d", len(all), want)
		}
		return nil
	})
	return all
}

func (s *system) produce(r *kgo.Record) {
	s.Helper()
	if err := s.producer.ProduceSync(s.Context(), r).FirstErr(); err != nil {
		s.Fatal(err)
	}
}

func (s *system) vote(names ...string) *eventv1.VoteBatch {
	id := uuid.Must(uuid.NewV7())
	b := &eventv1.VoteBatch{
		Format: 1, BatchId: id[:], Epoch: 1, Ballot: "main", AdmittedAtMs: time.Now().UnixMilli(),
		TicketVersion: "1.1.0", FirstAdmissionNumber: 1, Candidates: names,
	}
	for i := range names {
		vote := uuid.New()
		b.Votes = append(b.Votes, &eventv1.VoteEvent{VoteId: vote[:], Candidates: []uint32{uint32(i)}, Deltas: []int64{1}})
	}
	return b
}

// lay puts a batch of ours into the dead-letter topic, as a persister of an older version would have done.
func (s *system) lay(b *eventv1.VoteBatch) {
	s.Helper()
	value, err := events.Encode(b)
	if err != nil {
		s.Fatal(err)
	}
	came := &kgo.Record{Topic: s.topics.Votes, Partition: 1, Offset: 7, Key: events.Key("main", 0), Value: value}
	s.produce(events.NewDeadLetter(came, errors.New("vote batch of an unknown format: 1"), time.Now()).Record(s.topics.DeadLetters))
}

// awaitVotes waits until the partitions are passed up to their ends and the candidate has so many votes.
func (s *system) awaitVotes(name string, want int64) {
	s.Helper()
	testenv.Eventually(s, 20*time.Second, func() error {
		var got int64
		err := s.pool.QueryRow(s.Context(), "SELECT votes FROM user_votes WHERE ballot = 'main' AND username = $1", name).Scan(&got)
		if errors.Is(err, pgx.ErrNoRows) {
			err = nil
		}
		if err == nil && got != want {
			err = fmt.Errorf("%s has %d votes, want %d", name, got, want)
		}
		return err
	})
}

// awaitApplied waits until the votes topic is applied up to its end in every partition.
func (s *system) awaitApplied(records int64) {
	s.Helper()
	testenv.Eventually(s, 20*time.Second, func() error {
		var got int64
		err := s.pool.QueryRow(s.Context(), "SELECT coalesce(sum(next), 0) FROM offsets").Scan(&got)
		if err == nil && got != records {
			err = fmt.Errorf("%d records are applied, want %d", got, records)
		}
		return err
	})
}

// A letter that this version can read counts once, however often it is sent again.
func TestReplayCountsOnce(t *testing.T) {
	s := newSystem(t)
	s.lay(s.vote("A", "B"))
	letters := s.awaitLetters(1)
	at := letters[0].Address
	if shown := s.mustRun("show", at); !strings.Contains(shown, "a replay counts it") || !strings.Contains(shown, `"ballot":`) ||
		!strings.Contains(shown, "key: main/0") || !strings.Contains(shown, "|") {
		t.Errorf("show printed\n%s", shown)
	}

	if out := s.mustRun("replay", at, at); !strings.Contains(out, at+": replayed; a replay counts it") ||
		!strings.Contains(out, "left alone, it was replayed") || !strings.Contains(out, "1 letter was sent") {
		t.Errorf("replay printed\n%s", out)
	}
	s.awaitVotes("A", 1)
	if out := s.mustRun("replay", at); !strings.Contains(out, "left alone") || !strings.Contains(out, "0 letters were sent") {
		t.Errorf("the second replay printed\n%s", out)
	}
	s.awaitApplied(1)

	if out := s.mustRun("replay", "--again", at); !strings.Contains(out, "a replay has no effect") || !strings.Contains(out, "1 letter was sent") {
		t.Errorf("replay --again printed\n%s", out)
	}
	s.awaitApplied(2)
	s.awaitVotes("A", 1)
	s.awaitVotes("B", 1)
	if got := s.list()[0]; got.Action != "replayed" || got.HandledAt == nil || got.OriginPartition != 1 || got.OriginOffset != 7 {
		t.Errorf("the list says %+v", got)
	}
	if got := s.list("--unhandled"); len(got) != 0 {
		t.Errorf("unhandled: %+v", got)
	}
}

// Poison that the real persister put aside: it may be sent again, and then it comes back.
func TestPoisonComesBack(t *testing.T) {
	s := newSystem(t)
	future := s.vote("X")
	future.Format = 99
	value, err := proto.Marshal(future)
	if err != nil {
		t.Fatal(err)
	}
	s.produce(&kgo.Record{Topic: s.topics.Votes, Key: []byte("main/0"), Value: value, Headers: []kgo.RecordHeader{{Key: "trace", Value: []byte("\x1b[31m")}}})
	s.produce(&kgo.Record{Topic: s.topics.Votes, Key: []byte("main/1"), Value: []byte("garbage \x1b[31m")})
	s.awaitLetters(2)

	unknown := s.list("--reason", "unknown format")
	if len(unknown) != 1 || unknown[0].Bytes != len(value) || unknown[0].At.IsZero() {
		t.Fatalf("of unknown format: %+v", unknown)
	}
	if shown := s.mustRun("show", unknown[0].Address); !strings.Contains(shown, "still not readable") || !strings.Contains(shown, `header trace: \x1b[31m`) {
		t.Errorf("show printed\n%q", shown)
	}
	if out := s.mustRun("replay", "--all", "--reason", "unknown format"); !strings.Contains(out, "comes back as a new dead letter") ||
		!strings.Contains(out, "1 letter was sent") {
		t.Errorf("replay printed\n%s", out)
	}
	s.awaitLetters(3)

	if out := s.mustRun("drop", "--all"); !strings.Contains(out, "2 letters were dropped") {
		t.Errorf("drop printed\n%s", out)
	}
	if out := s.mustRun("replay", "--all"); !strings.Contains(out, "0 letters were sent") {
		t.Errorf("replay of all after that printed\n%s", out)
	}
	s.awaitVotes("X", 0)
}

// What would halt a partition, or count twice since its id is forgotten, is not sent.
func TestReplayThatWouldDoHarm(t *testing.T) {
	s := newSystem(t)
	early, orphan, forgotten, taken := s.vote("E"), s.vote("O"), s.vote("F"), s.vote("T")
	early.Epoch, orphan.Ballot = 2, "nobody"
	taken.Votes[0].BodyHash = make([]byte, 16)
	other := s.vote("T")
	other.Votes[0] = taken.GetVotes()[0]
	for _, b := range []*eventv1.VoteBatch{forgotten, other} {
		if _, err := pgledger.Apply(t.Context(), s.pool, pgledger.Batch{Events: []pgledger.Event{{VoteBatch: b}}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.pool.Exec(t.Context(), "DELETE FROM applied_batches"); err != nil { // as upkeep does, in time
		t.Fatal(err)
	}
	for _, b := range []*eventv1.VoteBatch{early, orphan, forgotten, taken} {
		s.lay(b)
	}
	letters := s.awaitLetters(4)
	for _, want := range []string{"never opened here", `ballot "nobody" is not known`, "would count twice", "keys belong to other votes"} {
		found := false
		for _, l := range letters {
			out, err := s.run("replay", l.Address)
			if err == nil {
				t.Errorf("%s was sent: %s", l.Address, out)
			}
			found = found || strings.Contains(fmt.Sprint(err), want)
		}
		if !found {
			t.Errorf("no refusal says %q", want)
		}
	}
	if got := s.list("--unhandled"); len(got) != 4 {
		t.Errorf("%d are left, want 4", len(got))
	}
}

// A letter whose epoch is over is sent, does not count, and is kept.
func TestReplayOfAnEpochThatIsOver(t *testing.T) {
	s := newSystem(t)
	s.lay(s.vote("L"))
	s.setEpoch(2)
	at := s.awaitLetters(1)[0].Address
	if out := s.mustRun("replay", at); !strings.Contains(out, "its epoch 1 is over") {
		t.Errorf("replay printed\n%s", out)
	}
	s.awaitApplied(1)
	s.awaitVotes("L", 0)
	var kept int
	if err := s.pool.QueryRow(t.Context(), "SELECT count(*) FROM dropped_batches").Scan(&kept); err != nil || kept != 1 {
		t.Errorf("%d batches are kept, %v", kept, err)
	}
}

func TestMistakes(t *testing.T) {
	s := newSystem(t)
	for _, args := range [][]string{
		{"show"}, {"show", "x"}, {"show", "1:-1"}, {"replay"}, {"replay", "--all", "0:0"}, {"replay", "0:0", "--reason", "x"}, {"drop", ":"},
	} {
		_, err := s.run(args...)
		var keyed *config.KeyError
		if !errors.As(err, &keyed) {
			t.Errorf("dlq %v: %v, want a mistake in the command line", args, err)
		}
	}
	if _, err := s.run("show", "1:5"); err == nil || !strings.Contains(err.Error(), "partition 1 has none") {
		t.Errorf("a letter that is not there: %v", err)
	}
	s.kafka.TopicPrefix = "other-"
	if _, err := s.run("list"); err == nil || !strings.Contains(err.Error(), "there is no topic other-vote-events-dlq") {
		t.Errorf("no topic: %v", err)
	}
}
