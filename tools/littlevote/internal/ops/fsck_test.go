package ops

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

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/testenv"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
	"github.com/littlevote/littlevote/services/persister"
)

// system is Kafka, Postgres with epoch 1 open, and a persister at work between them until stop.
type system struct {
	*testing.T
	kafka    config.Kafka
	url      string
	pool     *pgxpool.Pool
	producer *kgo.Client
	topics   events.Topics
	stop     func()
	admitted int64
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
	s.exec(`INSERT INTO ledger_epoch (epoch, mode, state, ns, replicated, reason) VALUES (1, 'redis', 'open', 'ns', false, 'test')`)
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
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := work.Run(ctx); err != nil {
			s.Error(err)
		}
	}()
	s.stop = func() {
		cancel()
		<-ended
	}
	s.Cleanup(s.stop)
}

func (s *system) exec(statement string, args ...any) {
	s.Helper()
	tag, err := s.pool.Exec(s.Context(), statement, args...)
	if err != nil || tag.RowsAffected() == 0 {
		s.Fatalf("%s: %v, %v", statement, tag, err)
	}
}

// send writes a batch with a vote for each name into a partition of the log.
func (s *system) send(partition uint32, names ...string) *eventv1.VoteBatch {
	s.Helper()
	id := uuid.Must(uuid.NewV7())
	b := &eventv1.VoteBatch{
		Format: 1, BatchId: id[:], Epoch: 1, Ballot: "main", AdmittedAtMs: time.Now().UnixMilli(),
		TicketVersion: "1.7.0", FirstAdmissionNumber: s.admitted + 1, Candidates: names,
	}
	s.admitted += int64(len(names))
	for i := range names {
		vote := uuid.New()
		b.Votes = append(b.Votes, &eventv1.VoteEvent{VoteId: vote[:], Candidates: []uint32{uint32(i)}, Deltas: []int64{1}})
	}
	value, err := events.Encode(b)
	if err != nil {
		s.Fatal(err)
	}
	s.produce(&kgo.Record{Topic: s.topics.Votes, Key: events.Key("main", partition), Value: value})
	return b
}

func (s *system) produce(r *kgo.Record) {
	s.Helper()
	if err := s.producer.ProduceSync(s.Context(), r).FirstErr(); err != nil {
		s.Fatal(err)
	}
}

// awaitOffsets waits until the persister has passed so many records in all.
func (s *system) awaitOffsets(records int64) {
	s.Helper()
	testenv.Eventually(s, 20*time.Second, func() error {
		var passed int64
		if err := s.pool.QueryRow(s.Context(), "SELECT coalesce(sum(next), 0)::bigint FROM offsets").Scan(&passed); err != nil {
			return err
		}
		if passed != records {
			return fmt.Errorf("%d records are passed", passed)
		}
		return nil
	})
}

// fsck runs `littlevote fsck --json`.
func (s *system) fsck(args ...string) report {
	s.Helper()
	out, err := s.run(append(args, "--json")...)
	var r report
	if jsonErr := json.Unmarshal([]byte(out), &r); jsonErr != nil {
		s.Fatalf("%v, %v:\n%s", err, jsonErr, out)
	}
	if r.OK != (err == nil) || err != nil && !errors.Is(err, ErrWrong) {
		s.Errorf("the report says OK: %v, the error is %v", r.OK, err)
	}
	return r
}

func (s *system) run(args ...string) (string, error) {
	s.Helper()
	var out bytes.Buffer
	cmd := FsckCommand()
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(append([]string{
		"--postgres-url=" + s.url, "--kafka-brokers=" + strings.Join(s.kafka.Brokers, ","),
		"--kafka-topic-prefix=" + s.kafka.TopicPrefix, "--data-dir=" + s.TempDir(),
	}, args...))
	err := cmd.ExecuteContext(s.Context())
	return out.String(), err
}

func (s *system) expect(want ...pgledger.Finding) {
	s.Helper()
	if diff := cmp.Diff(want, s.fsck().Findings, cmpopts.IgnoreFields(pgledger.Finding{}, "Text"), cmpopts.EquateEmpty()); diff != "" {
		s.Errorf("findings (-want +got):\n%s", diff)
	}
}

func voteOf(b *eventv1.VoteBatch, i int) string {
	return uuid.UUID(b.GetVotes()[i].GetVoteId()).String()
}

func TestFsckOfAHealthySystem(t *testing.T) {
	s := newSystem(t)
	s.expect() // nothing at all
	b := s.send(0, "A", "B")
	s.send(1, "A")
	value, err := events.Encode(b)
	if err != nil {
		t.Fatal(err)
	}
	s.produce(&kgo.Record{Topic: s.topics.Votes, Key: events.Key("main", 1), Value: value}) // a copy
	s.produce(&kgo.Record{Topic: s.topics.Votes, Key: events.Key("main", 0), Value: []byte("garbage")})
	s.awaitOffsets(4)
	want := report{
		OK: true, Epoch: 1, Rows: 3, Votes: 3, Records: 4, Findings: []pgledger.Finding{}, Skipped: []string{"Redis, which was not given"},
	}
	if diff := cmp.Diff(want, s.fsck()); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	s.stop()
	s.send(0, "Z") // what the persister has not passed is no business of fsck's
	out, err := s.run()
	if err != nil || !strings.Contains(out, "epoch 1; ledger: 3 rows, 3 votes; log: 4 records\n") || !strings.HasSuffix(out, "all is well\n") {
		t.Errorf("fsck says, with %v:\n%s", err, out)
	}
}

func TestFsckNamesWhatIsWrong(t *testing.T) {
	t.Run("a tally edited by hand", func(t *testing.T) {
		s := newSystem(t)
		s.send(0, "A", "B")
		s.awaitOffsets(1)
		s.exec("UPDATE user_votes SET votes = 5 WHERE username = 'B'")
		s.expect(pgledger.Finding{Check: "tally", Ballot: "main", Row: "B", Want: 1, Got: 5})
		out, err := s.run()
		if !errors.Is(err, ErrWrong) || !strings.Contains(out, "WRONG tally main/B: the ledger adds up to 1, user_votes says 5\n1 rows are wrong\n") {
			t.Errorf("fsck says, with %v:\n%s", err, out)
		}
	})
	t.Run("a ledger row deleted", func(t *testing.T) {
		s := newSystem(t)
		b := s.send(1, "A", "B")
		s.awaitOffsets(1)
		s.exec("DELETE FROM vote_logs WHERE username = 'B'")
		s.expect(
			pgledger.Finding{Check: "tally", Ballot: "main", Row: "B", Want: 0, Got: 1},
			pgledger.Finding{Check: "ticket", Ballot: "main", Row: "1.7.0", Want: 1, Got: 2},
			pgledger.Finding{Check: "ledger", Ballot: "main", Row: voteOf(b, 1) + " for B", Want: 1, Got: 0},
		)
	})
	t.Run("a batch doubled", func(t *testing.T) {
		s := newSystem(t)
		b := s.send(0, "A")
		s.awaitOffsets(1)
		s.exec("INSERT INTO vote_logs SELECT * FROM vote_logs")
		s.exec("UPDATE user_votes SET votes = 2")
		s.expect(
			pgledger.Finding{Check: "row", Ballot: "main", Row: voteOf(b, 0) + " for A", Want: 1, Got: 2},
			pgledger.Finding{Check: "ledger", Ballot: "main", Row: voteOf(b, 0) + " for A", Want: 1, Got: 2},
		)
	})
	t.Run("a ticket used over its cap", func(t *testing.T) {
		s := newSystem(t)
		s.send(0, "A", "B", "C")
		s.awaitOffsets(1)
		s.exec("UPDATE tickets SET cap = 2")
		s.expect(pgledger.Finding{Check: "cap", Ballot: "main", Row: "1.7.0", Want: 2, Got: 3})
	})
}

// An offset that was committed before its records had their effect.
func TestFsckFindsWhatWasPassedOver(t *testing.T) {
	s := newSystem(t)
	s.send(0, "A")
	s.awaitOffsets(1)
	s.stop()
	s.send(0, "B")
	s.produce(&kgo.Record{Topic: s.topics.Votes, Key: events.Key("main", 0), Value: []byte("garbage")})
	s.exec("UPDATE offsets SET next = 3 WHERE partition = 0")
	s.expect(
		pgledger.Finding{Check: "record", Ballot: "main", Row: s.topics.Votes + " 0:1", Want: 1},
		pgledger.Finding{Check: "record", Row: s.topics.Votes + " 0:2", Want: 1},
	)
	s.exec("UPDATE offsets SET next = 9 WHERE partition = 0")
	if found := s.fsck().Findings; len(found) != 3 || found[0].Check != "offsets" || found[0].Want != 3 || found[0].Got != 9 {
		t.Errorf("an offset beyond the end: %+v", found)
	}
	other := uuid.New()
	s.exec("UPDATE offsets SET topic_id = $1", [16]byte(other))
	s.expect(pgledger.Finding{Check: "offsets", Row: other.String()})
}

// Hole H22: the comparison with Redis is exact while batches are on their way.
func TestFsckComparesRedis(t *testing.T) {
	s := newSystem(t)
	s.send(0, "A")
	s.awaitOffsets(1)
	err := pgx.BeginFunc(t.Context(), s.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), "UPDATE ledger_epoch SET epoch = 2, opened_at = now()")
		return errors.Join(err, pgledger.WriteBase(t.Context(), tx, 2))
	})
	if err != nil {
		t.Fatal(err)
	}
	url := testenv.Redis(t)
	rdb, err := redisledger.Open(url, 4, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	ledger, fence := redisledger.New(rdb), redisledger.Fence{Epoch: 2, NS: testenv.Namespace(t)}
	s.exec("UPDATE ledger_epoch SET ns = $1", fence.NS)
	for ballot, counts := range map[string][]redisledger.Count{"main": {{Name: "A", Votes: 1}}, "cast": nil, "tiny": {{Name: "X", Votes: 3}}} {
		if err := ledger.Load(t.Context(), fence, redisledger.Ballot{Name: ballot, State: "open", Counts: counts, Admissions: 1}, false); err != nil {
			t.Fatal(err)
		}
	}
	found := s.fsck("--redis-url="+url, "--wait=0s").Findings
	want := []pgledger.Finding{{Check: "redis", Ballot: "tiny", Row: "X", Want: 0, Got: 3, Text: "the ledger adds up to 0, Redis counts 3"}}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	// In Postgres there is nothing to compare.
	s.exec("UPDATE ledger_epoch SET mode = 'pg'")
	if r := s.fsck("--redis-url=" + url); !r.OK || len(r.Skipped) != 1 || !strings.Contains(r.Skipped[0], "epoch 2 is open in mode pg") {
		t.Errorf("report is %+v", r)
	}
}

func TestFsckThatCannotLook(t *testing.T) {
	s := newSystem(t)
	s.send(0, "A")
	s.awaitOffsets(1)
	for name, arg := range map[string]string{
		"no Postgres":   "--postgres-url=postgres://postgres@127.0.0.1:1/x?sslmode=disable",
		"no such topic": "--kafka-topic-prefix=nobody-has-this-",
		"no Redis":      "--redis-url=redis://127.0.0.1:1/0",
	} {
		if out, err := s.run(arg); !errors.Is(err, ErrNoLook) || out != "" {
			t.Errorf("%s: error is %v, output\n%s", name, err, out)
		}
	}
}
