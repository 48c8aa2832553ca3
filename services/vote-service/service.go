package voteservice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/littlevote/littlevote/libs/certified"
	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/ticket"

	"github.com/littlevote/littlevote/services/vote-service/internal/ballots"
	"github.com/littlevote/littlevote/services/vote-service/internal/reconcile"
	"github.com/littlevote/littlevote/services/vote-service/internal/voting"
)

// drainTimeout is how long votes that were taken may go on after a stop, beside the RPC port's own drain.
const drainTimeout = 6 * time.Second

// maxOutboxAge bounds how late a batch may be recovered: with redisledger.ClockBound it stays below the day for which
// applied_batches knows a batch longer than the topic has its record.
const maxOutboxAge = 6 * time.Hour

// Service is one instance.
type Service struct {
	cfg     Config
	log     *slog.Logger
	rdb     redis.UniversalClient
	pool    *pgxpool.Pool
	kafka   *kgo.Client
	epochs  *epoch.Participant
	changer *epoch.Changer
	pinger  *redisledger.Pinger
	engine  *voting.Engine
	compare *reconcile.Reconciler
	rpc     *service.RPC
	keys    *ticket.Keys
	health  *service.Health
}

// New sets an instance up and listens. It connects to the stores when they are needed, so they may come later.
func New(ctx context.Context, cfg Config, host service.Host) (*Service, error) {
	s := &Service{cfg: cfg, log: host.Log, health: host.Health}
	if err := s.connect(ctx, host); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *Service) connect(ctx context.Context, host service.Host) error {
	keys, err := ticket.Open(s.cfg.Ticket.KeyFile, s.cfg.Dev.Dev)
	if err != nil {
		return err
	}
	s.keys = keys
	s.health.Degraded(keys.Problem)
	signer, err := certified.OpenSigner(s.cfg.Ballot.SignKeyFile, s.cfg.Dev.Dev)
	if err != nil {
		return err
	}
	if s.rdb, err = redisledger.Connect(s.cfg.Redis, s.log); err != nil {
		return err
	}
	if s.pinger, err = redisledger.NewPinger(s.cfg.Redis, s.log); err != nil {
		return err
	}
	if s.pool, err = pgledger.Open(ctx, s.cfg.Postgres); err != nil {
		return err
	}
	timed, err := events.Measured(host.Meter)
	if err != nil {
		return err
	}
	if s.kafka, err = events.NewProducer(s.cfg.Kafka, s.log, timed); err != nil {
		return err
	}
	if err := errors.Join(redisledger.Measure(s.rdb, host.Meter, "vote-redis"), pgledger.Measure(s.pool, host.Meter, "vote-primary")); err != nil {
		return err
	}
	id := epoch.NewID()
	ledger := redisledger.New(s.rdb)
	epochs := epoch.NewStore(s.pool)
	s.epochs = epoch.NewParticipant(epochs, s.pinger, epoch.Config{
		ID:        id,
		Service:   "vote-service",
		Lease:     s.cfg.Participant.Lease,
		Heartbeat: s.cfg.Participant.Heartbeat,
	}, s.log)
	topic := events.NewTopics(s.cfg.Kafka.TopicPrefix).Votes
	votes := voting.NewLog(s.kafka, topic, s.cfg.Vote.ProduceTimeout)
	s.changer = epoch.NewChanger(epoch.ChangerConfig{
		Store: epochs, Redis: ledger, Topic: votes, Me: s.epochs, Replicated: s.cfg.Redis.Replicated, Log: s.log,
		Tracer: host.Tracer,
	})
	s.engine = voting.NewEngine(voting.Config{
		Instance:    id,
		Workers:     s.cfg.Vote.Workers,
		BatchVotes:  s.cfg.Vote.BatchVotes,
		BatchBytes:  s.cfg.Vote.BatchBytes,
		Queue:       s.cfg.Vote.Queue,
		Outbox:      s.cfg.Vote.Outbox,
		OutboxLease: s.cfg.Vote.OutboxLease,
		Timeout:     s.cfg.Vote.Timeout,
		Refresh:     s.cfg.Participant.Heartbeat,
		OutboxAge:   min(s.cfg.Kafka.Retention/2, maxOutboxAge),
	}, voting.Parts{
		Redis: ledger, Epochs: s.epochs, Topic: votes, Store: voting.NewStore(s.pool), Keys: keys, EndEpoch: s.changer.End, Log: s.log,
		Tracer: host.Tracer,
	})
	if err := errors.Join(s.engine.Observe(host.Meter), s.epochs.Observe(host.Meter)); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	s.compare, err = reconcile.New(reconcile.Config{
		Pool: s.pool, Redis: ledger, Topic: votes, Progress: epochs, Epochs: s.epochs, End: s.changer.End,
		Interval: s.cfg.Reconcile.Interval, Meter: host.Meter, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.checks()
	organiser := ballots.New(ballots.Config{
		Pool: s.pool, Redis: ledger, Topic: votes, Progress: epochs, Epochs: s.epochs, IsName: voting.IsName, Signer: signer, Log: s.log,
	})
	secure, err := service.OpenTLS(s.cfg.TLS, s.cfg.Dev.Dev, host)
	if err != nil {
		return err
	}
	s.rpc, err = service.NewRPC(s.cfg.Vote.Listen, secure, s.health, mounts(s.engine, organiser, host)...)
	return err
}

func (s *Service) checks() {
	s.health.Check("epoch", s.epochs.Ready)
	s.health.Check("ballots", s.engine.Ready)
	s.health.Degraded(s.epochs.Degraded)
	s.health.Degraded(s.compare.Degraded)
	if s.cfg.Kafka.Replication < 2 {
		s.health.Weak("one Kafka replica: the loss of the broker's disk loses votes that are not yet in Postgres (G1)")
	}
	if !s.cfg.Redis.Replicated {
		s.health.Weak("Redis without a replica: votes go to Postgres while it is away, and tickets that it alone knew end")
	}
}

// Addr is the address of the RPC port.
func (s *Service) Addr() string { return s.rpc.Addr() }

// Run serves until ctx ends, then drains: RPC port, engine, lease, in this order.
func (s *Service) Run(ctx context.Context) error {
	defer s.close()
	s.ensureTopics(ctx)
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var background errgroup.Group
	background.Go(func() error { return s.epochs.Run(inner) })
	background.Go(func() error { return s.keys.Run(inner, s.log) })
	background.Go(func() error { return s.engine.Run(inner) })
	background.Go(func() error { return s.changer.Run(inner, s.cfg.Participant.Heartbeat) })
	background.Go(func() error { return s.compare.Run(inner) })
	err := s.rpc.Run(ctx)
	drain, cancel := context.WithTimeout(inner, drainTimeout)
	defer cancel()
	s.engine.Close(drain)
	stop()
	return errors.Join(err, background.Wait())
}

// ensureTopics waits for Kafka, or for ctx: without its topics no epoch can open.
func (s *Service) ensureTopics(ctx context.Context) {
	topics := events.NewTopics(s.cfg.Kafka.TopicPrefix)
	for told := false; ctx.Err() == nil; {
		try, cancel := context.WithTimeout(ctx, 10*time.Second)
		_, err := events.EnsureTopics(try, s.kafka, s.cfg.Kafka, topics)
		cancel()
		if err == nil {
			return
		}
		if !told {
			s.log.WarnContext(ctx, "waiting for Kafka", "error", err)
			told = true
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

func (s *Service) close() {
	if s.rpc != nil {
		_ = s.rpc.Close()
	}
	if s.kafka != nil {
		s.kafka.Close()
	}
	if s.pool != nil {
		s.pool.Close()
	}
	if s.rdb != nil {
		_ = s.rdb.Close()
	}
	if s.pinger != nil {
		_ = s.pinger.Close()
	}
}
