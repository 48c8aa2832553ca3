package queryservice_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/libs/tracing"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	"github.com/littlevote/littlevote/proto/gen/littlevote/query/v1/queryv1connect"

	queryservice "github.com/littlevote/littlevote/services/query-service"
)

// world is an open epoch, and a query-service over it.
type world struct {
	queryv1connect.QueryServiceClient
	t        *testing.T
	url      string
	cfg      queryservice.Config
	pool     *pgxpool.Pool
	ledger   *redisledger.Ledger
	fence    redisledger.Fence
	registry *prometheus.Registry
	spans    *tracetest.SpanRecorder
	freeze   func() // ends the changes of epochs
	fallBack func() // ends the persister
}

// noLog is a topic that holds nothing.
type noLog struct{}

func (noLog) EndOffsets(context.Context) (uuid.UUID, map[int32]int64, error) {
	return uuid.Nil, map[int32]int64{}, nil
}

// pinger asks the Redis of the test for a sign of life.
type pinger func(ctx context.Context) error

func (p pinger) Ping(ctx context.Context) error { return p(ctx) }

// newWorld starts one; rows are statements that are run before the epoch is opened.
func newWorld(t *testing.T, redisURL string, change func(*queryservice.Config), rows ...string) *world {
	t.Helper()
	w := &world{t: t, cfg: queryservice.DefaultConfig(), spans: tracetest.NewSpanRecorder()}
	w.cfg.Query.Listen = "127.0.0.1:0"
	w.cfg.Redis.URL = redisURL
	w.cfg.Redis.Timeout = 5 * time.Second
	w.cfg.Postgres.URL = testenv.Postgres(t)
	w.cfg.Participant.Heartbeat = 30 * time.Millisecond
	change(&w.cfg)
	log := slog.New(slog.DiscardHandler)
	w.migrate()
	for _, statement := range rows {
		w.exec(statement)
	}
	w.persist()
	w.changeEpochs(log)
	meter, registry, err := service.NewMeter("query-service")
	if err != nil {
		t.Fatal(err)
	}
	w.registry = registry
	tracer := sdk.NewTracerProvider(sdk.WithSpanProcessor(w.spans)).Tracer(tracing.Scope)
	host := service.Host{Tracer: tracer, Log: log, Health: service.NewHealth(), Meter: meter}
	s, err := queryservice.New(t.Context(), w.cfg, host)
	if err != nil {
		t.Fatal(err)
	}
	w.background(s.Run)
	w.url = "http://" + s.Addr()
	w.QueryServiceClient = queryv1connect.NewQueryServiceClient(http.DefaultClient, w.url)
	w.awaitSource(queryv1.Source_SOURCE_REDIS)
	w.fence = w.epoch().Fence()
	t.Cleanup(func() { _ = w.ledger.Unlink(context.WithoutCancel(t.Context()), w.fence.NS) })
	return w
}

// migrate makes the tables.
func (w *world) migrate() {
	w.t.Helper()
	if err := pgledger.Migrate(w.t.Context(), w.cfg.Postgres.URL, slog.New(slog.DiscardHandler)); err != nil {
		w.t.Fatal(err)
	}
	var err error
	if w.pool, err = pgledger.Open(w.t.Context(), w.cfg.Postgres); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(w.pool.Close)
}

// persist says again and again that everything is applied, as a persister does that is never behind.
func (w *world) persist() {
	w.t.Helper()
	w.exec("INSERT INTO offsets (topic_id, partition, next, caught_up_at) VALUES (gen_random_uuid(), 0, 0, now())")
	w.fallBack = w.background(func(ctx context.Context) error {
		for {
			// Not cut short: the server might go on with it after the end.
			if _, err := w.pool.Exec(context.WithoutCancel(ctx), "UPDATE offsets SET caught_up_at = clock_timestamp()"); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
}

// changeEpochs opens and changes epochs as a vote-service does.
func (w *world) changeEpochs(log *slog.Logger) {
	w.t.Helper()
	rdb, err := redisledger.Open(w.cfg.Redis.URL, 10, 5*time.Second)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = rdb.Close() })
	w.ledger = redisledger.New(rdb)
	store := epoch.NewStore(w.pool)
	ping := pinger(func(ctx context.Context) error { return rdb.Ping(ctx).Err() })
	me := epoch.NewParticipant(store, ping, epoch.Config{
		ID: epoch.NewID(), Service: "test", Lease: time.Minute, Heartbeat: 30 * time.Millisecond,
	}, log)
	changer := epoch.NewChanger(epoch.ChangerConfig{Store: store, Redis: w.ledger, Topic: noLog{}, Me: me, Log: log})
	leave := w.background(me.Run)
	stop := w.background(func(ctx context.Context) error { return changer.Run(ctx, 30*time.Millisecond) })
	w.freeze = func() { stop(); leave() }
}

// background runs until the test ends or the function that it returns is called.
func (w *world) background(run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := run(ctx); err != nil {
			w.t.Error(err)
		}
	}()
	stop = func() { cancel(); <-done }
	w.t.Cleanup(stop)
	return stop
}

// epoch is the ledger that the row names.
func (w *world) epoch() epoch.Ledger {
	w.t.Helper()
	e, err := pgledger.CurrentEpoch(w.t.Context(), w.pool)
	if err != nil {
		w.t.Fatal(err)
	}
	return epoch.Ledger{Epoch: e.Number, Mode: epoch.Mode(e.Mode), NS: e.NS}
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.pool.Exec(w.t.Context(), sql, args...); err != nil {
		w.t.Fatal(err)
	}
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

// vote casts a voter's vote for a candidate, and settles it.
func (w *world) vote(ballot, voter, name string) uuid.UUID {
	w.t.Helper()
	id := uuid.Must(uuid.NewV7())
	w.admit(ballot, redisledger.Entry{Voter: voter, Candidate: name, VoteID: id, VoterState: []uuid.UUID{}}, name, 1)
	return id
}

// retract takes a vote back.
func (w *world) retract(ballot, voter, name string, id uuid.UUID) {
	w.t.Helper()
	w.admit(ballot, redisledger.Entry{Voter: voter, Candidate: name, VoteID: uuid.Must(uuid.NewV7()), Retracts: id, VoterState: []uuid.UUID{id}}, name, -1)
}

func (w *world) admit(ballot string, e redisledger.Entry, name string, count int64) {
	w.t.Helper()
	b := &redisledger.Batch{ID: uuid.Must(uuid.NewV7()), Ballot: ballot, Entries: []redisledger.Entry{e}, MaxNames: 10_000}
	a, _ := w.ledger.Admit(w.t.Context(), w.fence, b, 10, nil)
	if a.Err != nil || a.Verdict.Entries[0].Code != redisledger.OK {
		w.t.Fatalf("%+v", a)
	}
	s := w.ledger.Settle(w.t.Context(), &redisledger.Settlement{
		Fence: w.fence, ID: b.ID, Ballot: ballot, AdmittedAt: a.Verdict.At, Names: []string{name}, Counts: []int64{count},
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

// metrics returns the values of all metrics by name and labels; of a histogram, how many values it has.
func (w *world) metrics() map[string]float64 {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			var labels []string
			for _, label := range metric.GetLabel() {
				if !strings.HasPrefix(label.GetName(), "otel_") {
					labels = append(labels, label.GetName()+"="+label.GetValue())
				}
			}
			name := family.GetName() + "{" + strings.Join(labels, ",") + "}"
			got[name] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + float64(metric.GetHistogram().GetSampleCount())
		}
	}
	return got
}
