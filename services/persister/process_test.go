package persister

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/testenv"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

// asProgram makes this test binary be the program.
const asProgram = "LITTLEVOTE_TEST_AS_PERSISTER"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "" {
		os.Exit(m.Run())
	}
	cfg := DefaultConfig()
	config.Main("persister", []any{&cfg}, func(ctx context.Context, log *slog.Logger) error {
		watched := service.Watched{Admin: cfg.Admin, Trace: cfg.Trace}
		return service.Process(ctx, "persister", watched, log, func(host service.Host) (service.Runner, error) {
			return New(ctx, cfg, host)
		})
	})
}

// line is a topic of two partitions, and a database with an open epoch.
type line struct {
	*testing.T
	kafka    config.Kafka
	url      string
	pool     *pgxpool.Pool
	producer *kgo.Client
	sent     int64
}

func newLine(t *testing.T) *line {
	t.Helper()
	t.Parallel()
	l := &line{T: t, url: testenv.Postgres(t), kafka: config.DefaultKafka()}
	l.kafka.Brokers, l.kafka.TopicPrefix, l.kafka.Partitions = testenv.Kafka(t), testenv.Topic(t), 2
	l.kafka.Replication = testenv.KafkaReplication(t)
	quiet := slog.New(slog.DiscardHandler)
	if err := pgledger.Migrate(t.Context(), l.url, quiet); err != nil {
		t.Fatal(err)
	}
	var err error
	if l.pool, err = pgledger.Open(t.Context(), config.Postgres{URL: l.url, PoolSize: 4}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.pool.Close)
	l.exec("INSERT INTO ledger_epoch (epoch, mode, state, ns, replicated, reason) VALUES (1, 'redis', 'open', 'ns', false, 'test')")
	if l.producer, err = events.NewProducer(l.kafka, quiet); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.producer.Close)
	if _, err := events.EnsureTopics(t.Context(), l.producer, l.kafka, events.NewTopics(l.kafka.TopicPrefix)); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *line) exec(sql string) {
	l.Helper()
	if _, err := l.pool.Exec(l.Context(), sql); err != nil {
		l.Fatal(err)
	}
}

// send produces a vote for A into each partition.
func (l *line) send() {
	l.Helper()
	for lane := range uint32(2) {
		id, vote := uuid.Must(uuid.NewV7()), uuid.New()
		value, err := events.Encode(&eventv1.VoteBatch{
			Format: 1, BatchId: id[:], Epoch: 1, Ballot: "main", AdmittedAtMs: time.Now().UnixMilli(), TicketVersion: "1.1.0",
			FirstAdmissionNumber: l.sent + 1, Candidates: []string{"A"},
			Votes: []*eventv1.VoteEvent{{VoteId: vote[:], Candidates: []uint32{0}, Deltas: []int64{1}}},
		})
		if err != nil {
			l.Fatal(err)
		}
		r := &kgo.Record{Topic: l.kafka.TopicPrefix + "vote-events", Key: events.Key("main", lane), Value: value}
		if err := l.producer.ProduceSync(l.Context(), r).FirstErr(); err != nil {
			l.Fatal(err)
		}
		l.sent++
	}
}

// settle waits until everything that was sent counts, and fails if anything counts twice. It returns how long that took.
func (l *line) settle() time.Duration {
	l.Helper()
	begin := time.Now()
	testenv.Eventually(l, time.Minute, func() error {
		var votes int64
		err := l.pool.QueryRow(l.Context(), "SELECT coalesce((SELECT votes FROM user_votes WHERE ballot = 'main' AND username = 'A'), 0)").Scan(&votes)
		if err == nil && votes != l.sent {
			err = fmt.Errorf("%d votes, want %d", votes, l.sent)
		}
		return err
	})
	took := time.Since(begin)
	report, err := pgledger.Recount(l.Context(), l.pool)
	if err != nil || !report.OK() {
		l.Errorf("recount: %+v, %v", report, err)
	}
	return took
}

// lock keeps every transaction from going on until it is released.
func (l *line) lock() (release func()) {
	l.Helper()
	tx, err := l.pool.Begin(l.Context())
	if err != nil {
		l.Fatal(err)
	}
	release = sync.OnceFunc(func() { _ = tx.Rollback(context.Background()) })
	l.Cleanup(release)
	if _, err := tx.Exec(l.Context(), "SET LOCAL idle_in_transaction_session_timeout = 0; LOCK TABLE ledger_epoch IN EXCLUSIVE MODE"); err != nil {
		l.Fatal(err)
	}
	return release
}

// awaitTransaction waits until a persister stands in a transaction before the lock.
func (l *line) awaitTransaction() {
	l.Helper()
	testenv.Eventually(l, 30*time.Second, func() error {
		var waiting int
		err := l.pool.QueryRow(l.Context(), `
			SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%FOR SHARE'`).Scan(&waiting)
		if err == nil && waiting == 0 {
			err = errors.New("nobody is in a transaction")
		}
		return err
	})
}

// program is a persister in a process of its own.
type program struct {
	*exec.Cmd
	l     *line
	log   *output
	ended chan struct{}
}

func (l *line) start(flags ...string) *program {
	l.Helper()
	p := &program{l: l, log: &output{}, ended: make(chan struct{})}
	p.Cmd = exec.Command(os.Args[0], append([]string{
		"--persister-listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--postgres-url=" + l.url,
		"--kafka-brokers=" + strings.Join(l.kafka.Brokers, ","), "--kafka-topic-prefix=" + l.kafka.TopicPrefix, "--kafka-partitions=2",
		fmt.Sprintf("--kafka-replication=%d", l.kafka.Replication),
	}, flags...)...)
	p.Env = []string{asProgram + "=1", "HOME=" + l.TempDir()}
	p.Stdout, p.Stderr = p.log, p.log
	if err := p.Start(); err != nil {
		l.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.Wait() // how it ended is in its log
	}()
	l.Cleanup(func() {
		p.signal(syscall.SIGKILL)
		<-p.ended
		if l.Failed() {
			l.Logf("process %d said:\n%s", p.Process.Pid, p.log)
		}
	})
	return p
}

func (p *program) signal(s syscall.Signal) { _ = p.Process.Signal(s) } // it may have ended

func (p *program) await(text string) {
	p.l.Helper()
	testenv.Eventually(p.l, 30*time.Second, func() error {
		if !strings.Contains(p.log.String(), text) {
			return fmt.Errorf("process %d does not say %q", p.Process.Pid, text)
		}
		return nil
	})
}

// output is what a program says.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// F4: a persister is frozen inside a transaction for longer than its session. Another one goes on in its place; when it
// thaws, what it had in hand has no effect, and it joins again by itself.
func TestFrozenPersister(t *testing.T) {
	l := newLine(t)
	frozen := l.start()
	l.send()
	l.settle()
	release := l.lock()
	l.send()
	l.awaitTransaction()
	frozen.signal(syscall.SIGSTOP)
	release()
	second := l.start()
	l.send()
	t.Logf("another one has its partitions after %v", l.settle())
	frozen.signal(syscall.SIGCONT)
	for range 10 {
		l.send()
		l.settle()
	}
	// Once the other one has gone, it has all the work.
	second.signal(syscall.SIGTERM)
	<-second.ended
	l.send()
	l.settle()
}

// F3: a persister is killed inside a transaction. Nothing counts twice. Under a name of its own its successor goes on at
// once, and not only when the session of the dead one is over.
func TestKilledPersister(t *testing.T) {
	l := newLine(t)
	flags := []string{"--persister-instance=pod-0", "--persister-session-timeout=1m"}
	first := l.start(flags...)
	l.send()
	l.settle()
	release := l.lock()
	l.send()
	l.awaitTransaction()
	first.signal(syscall.SIGKILL)
	<-first.ended
	release()
	l.start(flags...)
	l.send()
	took := l.settle()
	t.Logf("its successor has its partitions after %v", took)
	if took > 30*time.Second {
		t.Errorf("its successor waited for %v: that is no better than the session's end", took)
	}
}

// F21: a persister that is told to stop hands its partitions over at once, whether it has a name of its own or not.
func TestStoppedPersisterHandsOver(t *testing.T) {
	for name, instance := range map[string]string{"without a name": "", "with a name": "pod-0"} {
		t.Run(name, func(t *testing.T) {
			l := newLine(t)
			first := l.start("--persister-session-timeout=1m", "--persister-instance="+instance)
			l.send()
			l.settle()
			l.start("--persister-session-timeout=1m")
			first.await("partitions are no longer ours")
			begin := time.Now()
			first.signal(syscall.SIGTERM)
			<-first.ended
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("the stop took %v", took)
			}
			l.send()
			if took := l.settle(); took > 20*time.Second {
				t.Errorf("the other one had its partitions after %v", took)
			}
		})
	}
}
