package queryservice_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/littlevote/littlevote/libs/embedded"
	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/testenv"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	"github.com/littlevote/littlevote/proto/gen/littlevote/query/v1/queryv1connect"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"

	queryservice "github.com/littlevote/littlevote/services/query-service"
)

// world is an open epoch, and a query-service over it.
type world struct {
	queryv1connect.QueryServiceClient
	t      *testing.T
	cfg    queryservice.Config
	pool   *pgxpool.Pool
	ledger *redisledger.Ledger
	fence  redisledger.Fence
}

// noLog is a topic that holds nothing.
type noLog struct{}

func (noLog) EndOffsets(context.Context) (uuid.UUID, map[int32]int64, error) {
	return uuid.Nil, map[int32]int64{}, nil
}

func newWorld(t *testing.T, redisURL string, change func(*queryservice.Config)) *world {
	t.Helper()
	w := &world{t: t, cfg: queryservice.DefaultConfig()}
	w.cfg.Query.Listen = "127.0.0.1:0"
	w.cfg.Redis.URL = redisURL
	w.cfg.Redis.Timeout = 5 * time.Second
	w.cfg.Postgres.URL = testenv.Postgres(t)
	w.cfg.Participant.Heartbeat = 30 * time.Millisecond
	change(&w.cfg)
	log := slog.New(slog.DiscardHandler)
	if err := pgledger.Migrate(t.Context(), w.cfg.Postgres.URL, log); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.pool, err = pgledger.Open(t.Context(), w.cfg.Postgres); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.pool.Close)
	rdb, err := redisledger.Open(redisURL, 10, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	w.ledger = redisledger.New(rdb)
	w.background(func(ctx context.Context) error {
		c := epoch.NewChanger(w.pool, w.ledger, noLog{}, false, func() {}, log)
		return c.Run(ctx, 30*time.Millisecond, nil)
	})
	host := service.Host{Log: log, Health: service.NewHealth(), Meter: noop.NewMeterProvider().Meter("")}
	s, err := queryservice.New(t.Context(), w.cfg, host)
	if err != nil {
		t.Fatal(err)
	}
	w.background(s.Run)
	w.QueryServiceClient = queryv1connect.NewQueryServiceClient(http.DefaultClient, "http://"+s.Addr())
	w.awaitSource(queryv1.Source_SOURCE_REDIS)
	e, err := pgledger.CurrentEpoch(t.Context(), w.pool)
	if err != nil {
		t.Fatal(err)
	}
	w.fence = redisledger.Fence{Epoch: e.Number, NS: e.NS}
	t.Cleanup(func() { _ = w.ledger.Unlink(context.WithoutCancel(t.Context()), w.fence.NS) })
	return w
}

func (w *world) background(run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	})
}

// awaitSource waits until reads come from a store.
func (w *world) awaitSource(want queryv1.Source) *queryv1.Tally {
	w.t.Helper()
	var tally *queryv1.Tally
	testenv.Eventually(w.t, 20*time.Second, func() error {
		resp, err := w.GetTallies(w.t.Context(), &queryv1.GetTalliesRequest{Reads: []*queryv1.TallyRead{{Candidates: []string{"A"}}}})
		if err != nil {
			return err
		}
		if tally = resp.GetTallies()[0]; tally.GetSource() != want {
			return fmt.Errorf("from %s", tally.GetSource())
		}
		return nil
	})
	return tally
}

// count adds votes to the live tally, as a settled batch does.
func (w *world) count(ballot, name string, votes int64) {
	w.t.Helper()
	state, err := w.ledger.Ticket(w.t.Context(), w.fence, ballot)
	if err != nil {
		w.t.Fatal(err)
	}
	if state.Newest == nil {
		m := redisledger.Mint{Number: 1, Version: "v", Value: "x", Cap: redisledger.NoCap, Interval: time.Hour}
		if _, _, _, err := w.ledger.Mint(w.t.Context(), w.fence, ballot, m); err != nil {
			w.t.Fatal(err)
		}
	}
	b := &redisledger.Batch{
		ID: uuid.Must(uuid.NewV7()), Ballot: ballot, Tickets: []string{""}, Groups: []redisledger.Group{{Votes: 1}},
	}
	a, _ := w.ledger.Admit(w.t.Context(), w.fence, b, 10, nil)
	if a.Err != nil {
		w.t.Fatal(a.Err)
	}
	s := w.ledger.Settle(w.t.Context(), &redisledger.Settlement{
		Fence: w.fence, ID: b.ID, Ballot: ballot, AdmittedAt: a.Verdict.At, Names: []string{name}, Counts: []int64{votes},
	})
	if s.Err != nil {
		w.t.Fatal(s.Err)
	}
}

func (w *world) read(reads ...*queryv1.TallyRead) []*queryv1.Tally {
	w.t.Helper()
	resp, err := w.GetTallies(w.t.Context(), &queryv1.GetTalliesRequest{Reads: reads})
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.GetTallies()
}

func votes(t *queryv1.Tally) map[string]int64 {
	out := map[string]int64{}
	for _, c := range t.GetCounts() {
		out[c.GetCandidate()] = c.GetVotes()
	}
	return out
}

func TestReadsOfOneCall(t *testing.T) {
	w := newWorld(t, testenv.Redis(t), func(*queryservice.Config) {})
	w.count("main", "B", 3)
	w.count("cast", "bob", 2)
	w.count("cast", "alice", 1)
	got := w.read(
		&queryv1.TallyRead{Candidates: []string{"C", "B", "C"}},
		&queryv1.TallyRead{Ballot: "main"},
		&queryv1.TallyRead{Ballot: "cast"},
		&queryv1.TallyRead{Ballot: "cast", Candidates: []string{"nobody", "bob"}},
		&queryv1.TallyRead{Ballot: "main", Candidates: []string{"bob"}},
		&queryv1.TallyRead{Ballot: "none"},
	)
	names := func(t *queryv1.Tally) (out []string) {
		for _, c := range t.GetCounts() {
			out = append(out, c.GetCandidate())
		}
		return out
	}
	if diff := cmp.Diff([]string{"C", "B", "C"}, names(got[0])); diff != "" || votes(got[0])["B"] != 3 {
		t.Errorf("asked for C, B, C: %v", got[0])
	}
	if got[0].GetCounts()[1].GetUpdatedAt() == nil || got[0].GetCounts()[0].GetUpdatedAt() != nil {
		t.Error("only what was voted for has a time of change")
	}
	if n := names(got[1]); len(n) != 26 || n[0] != "A" || n[25] != "Z" {
		t.Errorf("a closed list is all there, by name: %v", n)
	}
	if diff := cmp.Diff([]string{"alice", "bob"}, names(got[2])); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]int64{"nobody": 0, "bob": 2}, votes(got[3])); diff != "" {
		t.Error(diff)
	}
	for i, want := range []statusv1.Code{
		statusv1.Code_CODE_OK, statusv1.Code_CODE_OK, statusv1.Code_CODE_OK, statusv1.Code_CODE_OK,
		statusv1.Code_CODE_INVALID_ARGUMENT, statusv1.Code_CODE_BALLOT_NOT_FOUND,
	} {
		if got[i].GetCode() != want || got[i].GetStale() {
			t.Errorf("read %d: %v", i, got[i])
		}
	}
}

// G8: whatever was settled before a read was sent is in its answer, however many reads run at once.
func TestReadsAreNeverOlderThanTheirBegin(t *testing.T) {
	w := newWorld(t, testenv.Redis(t), func(*queryservice.Config) {})
	var wg sync.WaitGroup
	for g := range 6 {
		name := string(rune('A' + g))
		wg.Go(func() {
			for n := range int64(30) {
				w.count("main", name, 1)
				if got := votes(w.read(&queryv1.TallyRead{Candidates: []string{name}})[0])[name]; got != n+1 {
					t.Errorf("%s has %d, want %d", name, got, n+1)
					return
				}
			}
		})
	}
	wg.Wait()
}

// S21: without Redis counts come from the replica, without that from the primary, and say that they may be old.
func TestPostgresAnswersWhileRedisIsAway(t *testing.T) {
	for name, c := range map[string]struct {
		replica func(primary string) string
		want    queryv1.Source
	}{
		"replica":      {func(p string) string { return p }, queryv1.Source_SOURCE_POSTGRES_REPLICA},
		"replica away": {func(string) string { return "postgres://x@127.0.0.1:1/x" }, queryv1.Source_SOURCE_POSTGRES_PRIMARY},
		"no replica":   {func(string) string { return "" }, queryv1.Source_SOURCE_POSTGRES_PRIMARY},
	} {
		t.Run(name, func(t *testing.T) {
			redis, err := embedded.Redis(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = redis.Close() })
			w := newWorld(t, redis.URL(), func(cfg *queryservice.Config) { cfg.Postgres.ReplicaURL = c.replica(cfg.Postgres.URL) })
			if _, err := w.pool.Exec(t.Context(), "INSERT INTO user_votes VALUES ('main', 'A', 7, 7, now())"); err != nil {
				t.Fatal(err)
			}
			if err := redis.Close(); err != nil {
				t.Fatal(err)
			}
			tally := w.awaitSource(c.want)
			if votes(tally)["A"] != 7 || !tally.GetStale() || tally.GetAsOf() == nil {
				t.Fatalf("%v", tally)
			}
			if all := w.read(&queryv1.TallyRead{})[0]; len(all.GetCounts()) != 26 || votes(all)["A"] != 7 || !all.GetStale() {
				t.Fatalf("%v", all)
			}
		})
	}
}

func TestNobodyAnswers(t *testing.T) {
	redis, err := embedded.Redis(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = redis.Close() })
	w := newWorld(t, redis.URL(), func(*queryservice.Config) {})
	if _, err := w.pool.Exec(t.Context(), "ALTER TABLE user_votes RENAME TO gone"); err != nil {
		t.Fatal(err)
	}
	if err := redis.Close(); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 20*time.Second, func() error {
		_, err := w.GetTallies(t.Context(), &queryv1.GetTalliesRequest{Reads: []*queryv1.TallyRead{{}}})
		if connect.CodeOf(err) != connect.CodeUnavailable {
			return fmt.Errorf("%w", err)
		}
		detail, ok := service.Detail(err)
		if !ok || detail.GetCode() != statusv1.Code_CODE_UNAVAILABLE || !detail.GetRetryable() {
			return fmt.Errorf("%v", detail)
		}
		return nil
	})
}

func TestBoundsOfACall(t *testing.T) {
	w := newWorld(t, testenv.Redis(t), func(*queryservice.Config) {})
	many := make([]*queryv1.TallyRead, 1001)
	for i := range many {
		many[i] = &queryv1.TallyRead{}
	}
	names := make([]string, 10_001)
	for name, reads := range map[string][]*queryv1.TallyRead{
		"none": nil, "1001 reads": many, "10001 candidates": {{Ballot: "cast", Candidates: names}},
	} {
		_, err := w.GetTallies(t.Context(), &queryv1.GetTalliesRequest{Reads: reads})
		var e *connect.Error
		if !errors.As(err, &e) || e.Code() != connect.CodeInvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
}
