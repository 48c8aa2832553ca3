package voteservice_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/libs/ticket"
	"github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1/ballotv1connect"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
	"github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1/votev1connect"

	voteservice "github.com/littlevote/littlevote/services/vote-service"
)

// world is the stores, and the tickets that a ticket-service would make.
type world struct {
	t      *testing.T
	cfg    voteservice.Config
	pool   *pgxpool.Pool
	ledger *redisledger.Ledger
	keys   *ticket.Keys
	tracer trace.Tracer // of the instances
}

func newWorld(t *testing.T) *world {
	t.Helper()
	cfg := voteservice.DefaultConfig()
	cfg.Dev.Dev = true
	cfg.Vote.Listen = "127.0.0.1:0"
	cfg.Redis.URL = testenv.Redis(t)
	cfg.Redis.Timeout = 5 * time.Second // the race detector and other tests share the machine
	cfg.Kafka.Brokers = testenv.Kafka(t)
	cfg.Kafka.TopicPrefix = testenv.Topic(t) + "."
	cfg.Postgres.URL = testenv.Postgres(t)
	cfg.Participant.Heartbeat = 50 * time.Millisecond
	log := slog.New(slog.DiscardHandler)
	if err := pgledger.Migrate(t.Context(), cfg.Postgres.URL, log); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, cfg: cfg, tracer: tracenoop.Tracer{}}
	var err error
	if w.pool, err = pgledger.Open(t.Context(), cfg.Postgres); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.pool.Close)
	rdb, err := redisledger.Open(cfg.Redis.URL, 20, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	w.ledger = redisledger.New(rdb)
	if w.keys, err = ticket.Open("", true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if f := w.fence(); f.NS != "" {
			_ = w.ledger.Unlink(context.WithoutCancel(t.Context()), f.NS)
		}
	})
	return w
}

// instance is a running vote-service.
type instance struct {
	votev1connect.VoteServiceClient
	ballots ballotv1connect.BallotServiceClient
	stop    func()
}

// start runs an instance and waits until it works in an epoch.
func (w *world) start() *instance {
	w.t.Helper()
	host := service.Host{
		Tracer: w.tracer,
		Log:    slog.New(slog.DiscardHandler), Health: service.NewHealth(), Meter: noop.NewMeterProvider().Meter(""),
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	s, err := voteservice.New(ctx, w.cfg, host)
	if err != nil {
		cancel()
		w.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	i := &instance{stop: func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("run: %v", err)
		}
	}}
	w.t.Cleanup(i.stop)
	testenv.Eventually(w.t, 20*time.Second, func() error {
		if report := host.Health.Report(ctx); !report.Ready {
			return fmt.Errorf("not ready: %v", report.Checks)
		}
		return nil
	})
	i.VoteServiceClient = votev1connect.NewVoteServiceClient(http.DefaultClient, "http://"+s.Addr())
	i.ballots = ballotv1connect.NewBallotServiceClient(http.DefaultClient, "http://"+s.Addr())
	return i
}

func (w *world) fence() redisledger.Fence {
	e, err := pgledger.CurrentEpoch(context.WithoutCancel(w.t.Context()), w.pool)
	if err != nil && !errors.Is(err, pgledger.ErrNoEpoch) {
		w.t.Error(err)
	}
	return redisledger.Fence{Epoch: e.Number, NS: e.NS}
}

// mint makes the next ticket of a ballot.
func (w *world) mint(ballot string, limit int64, interval time.Duration) *votev1.TicketRef {
	w.t.Helper()
	f := w.fence()
	state, err := w.ledger.Ticket(w.t.Context(), f, ballot)
	if err != nil {
		w.t.Fatal(err)
	}
	claims := ticket.Claims{
		Ballot: ballot, Epoch: f.Epoch, Number: state.LastNumber + 1, IssuedAt: state.Now, ExpiresAt: state.Now.Add(interval),
	}
	ref := &votev1.TicketRef{Value: w.keys.MintAs(form(ballot), claims), Version: claims.Version()}
	done, _, _, err := w.ledger.Mint(w.t.Context(), f, ballot, redisledger.Mint{
		Number: claims.Number, Version: ref.Version, Value: ref.Value, Cap: limit, Interval: interval,
	})
	if err != nil || done != redisledger.MintDone {
		w.t.Fatalf("mint: %s %v", done, err)
	}
	return ref
}

func (w *world) left(ballot string) int64 {
	w.t.Helper()
	state, err := w.ledger.Ticket(w.t.Context(), w.fence(), ballot)
	if err != nil {
		w.t.Fatal(err)
	}
	return state.Newest.Left
}

func (w *world) live(ballot, name string) int64 {
	w.t.Helper()
	counts, _, err := w.ledger.Tally(w.t.Context(), w.fence(), ballot, []string{name})
	if err != nil {
		w.t.Fatal(err)
	}
	return counts[0].Votes
}

// logged reads the topic from its start until it holds at least want votes.
func (w *world) logged(want int) []*eventv1.VoteBatch {
	w.t.Helper()
	client, err := events.NewClient(w.cfg.Kafka, slog.New(slog.DiscardHandler),
		kgo.ConsumeTopics(events.NewTopics(w.cfg.Kafka.TopicPrefix).Votes),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	var batches []*eventv1.VoteBatch
	for got := 0; got < want; {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			w.t.Fatalf("%d of %d votes in the log", got, want)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			b, err := events.Decode(r.Value)
			if err != nil {
				w.t.Fatal(err)
			}
			batches = append(batches, b)
			got += len(b.GetVotes())
		})
	}
	return batches
}

func vote(permit *votev1.TicketRef, names ...string) *votev1.Vote {
	v := &votev1.Vote{Permit: &votev1.Vote_NewestTicket{NewestTicket: true}}
	if permit != nil {
		v.Permit = &votev1.Vote_Ticket{Ticket: permit}
	}
	for _, n := range names {
		v.Choices = append(v.Choices, &votev1.Choice{Candidate: n, Count: 1})
	}
	return v
}

func withKey(v *votev1.Vote, key string) *votev1.Vote {
	v.IdempotencyKey = key
	return v
}

func newKey() string { return uuid.Must(uuid.NewV7()).String() }

// cast sends votes in one call, and again what is refused for now, as a client does: an epoch may change, and on a machine that does
// much else a ballot takes its time to become known.
func (i *instance) cast(t *testing.T, votes ...*votev1.Vote) []*votev1.Verdict {
	t.Helper()
	verdicts := i.castOnce(t, votes...)
	for n, vote := range votes {
		testenv.Eventually(t, 20*time.Second, func() error {
			if !refusedForNow(verdicts[n]) {
				return nil
			}
			verdicts[n] = i.castOnce(t, vote)[0]
			return fmt.Errorf("%v", verdicts[n])
		})
	}
	return verdicts
}

func refusedForNow(v *votev1.Verdict) bool {
	return v.GetCode() == statusv1.Code_CODE_UNAVAILABLE && v.GetOutcome() == statusv1.Outcome_OUTCOME_NONE
}

// castOnce sends votes in one call.
func (i *instance) castOnce(t *testing.T, votes ...*votev1.Vote) []*votev1.Verdict {
	t.Helper()
	resp, err := i.CastVotes(t.Context(), &votev1.CastVotesRequest{Votes: votes})
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetVerdicts()
}

func wantCode(t *testing.T, v *votev1.Verdict, code statusv1.Code, outcome statusv1.Outcome) {
	t.Helper()
	if v.GetCode() != code || v.GetOutcome() != outcome {
		t.Fatalf("%s %s (%s), want %s %s", v.GetCode(), v.GetOutcome(), v.GetDetail(), code, outcome)
	}
}

func wantCounted(t *testing.T, v *votev1.Verdict) {
	t.Helper()
	wantCode(t, v, statusv1.Code_CODE_OK, statusv1.Outcome_OUTCOME_COUNTED)
}

// ends returns the topic's id and its end offsets.
func (w *world) ends() (uuid.UUID, map[int32]int64) {
	w.t.Helper()
	client, err := events.NewClient(w.cfg.Kafka, slog.New(slog.DiscardHandler))
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	name := events.NewTopics(w.cfg.Kafka.TopicPrefix).Votes
	admin := kadm.NewClient(client)
	topic, err := events.Describe(w.t.Context(), admin, name)
	if err != nil {
		w.t.Fatal(err)
	}
	listed, err := admin.ListEndOffsets(w.t.Context(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	ends := map[int32]int64{}
	listed.Each(func(o kadm.ListedOffset) { ends[o.Partition] = o.Offset })
	return topic.ID, ends
}
