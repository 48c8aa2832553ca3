package queryservice

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/service"

	"github.com/littlevote/littlevote/services/query-service/internal/reading"
)

// drainTimeout is how long reads that were taken may go on after the RPC port has stopped.
const drainTimeout = 2 * time.Second

// Service is one instance.
type Service struct {
	cfg     Config
	log     *slog.Logger
	rdb     redis.UniversalClient
	pinger  *redisledger.Pinger
	primary *pgxpool.Pool
	replica *pgxpool.Pool
	epochs  *epoch.Participant
	reads   *reading.Service
	rpc     *service.RPC
}

// New sets an instance up and listens. It connects to the stores when they are needed, so they may come later.
func New(ctx context.Context, cfg Config, host service.Host) (*Service, error) {
	s := &Service{cfg: cfg, log: host.Log}
	if err := s.connect(ctx, host); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *Service) connect(ctx context.Context, host service.Host) (err error) {
	if s.rdb, err = redisledger.Connect(s.cfg.Redis, s.log); err != nil {
		return err
	}
	if s.pinger, err = redisledger.NewPinger(s.cfg.Redis, s.log); err != nil {
		return err
	}
	if s.primary, err = pgledger.Open(ctx, s.cfg.Postgres); err != nil {
		return err
	}
	if s.cfg.Postgres.ReplicaURL != "" {
		if s.replica, err = pgledger.OpenReplica(ctx, s.cfg.Postgres); err != nil {
			return err
		}
		if err := pgledger.Measure(s.replica, host.Meter, "query-replica"); err != nil {
			return err
		}
	}
	if err := errors.Join(redisledger.Measure(s.rdb, host.Meter, "query-redis"), pgledger.Measure(s.primary, host.Meter, "query-primary")); err != nil {
		return err
	}
	s.epochs = epoch.NewParticipant(epoch.NewStore(s.primary), s.pinger, epoch.Config{
		ID:        epoch.NewID(),
		Service:   "query-service",
		Lease:     s.cfg.Participant.Lease,
		Heartbeat: s.cfg.Participant.Heartbeat,
	}, s.log)
	if err := s.epochs.Observe(host.Meter); err != nil {
		return err
	}
	metrics, err := reading.NewMetrics(host.Meter)
	if err != nil {
		return err
	}
	reader := reading.NewReader(reading.Stores{
		Redis: redisledger.New(s.rdb), Replica: s.replica, Primary: s.primary, Timeout: s.cfg.Query.Timeout,
	}, s.epochs)
	s.reads, err = reading.NewService(reading.Config{Workers: s.cfg.Query.Workers, Queue: s.cfg.Query.Queue}, reader, metrics, s.log)
	if err != nil {
		return err
	}
	host.Health.Check("ballots", s.reads.Ready)
	host.Health.Degraded(s.epochs.Degraded)
	secure, err := service.OpenTLS(s.cfg.TLS, s.cfg.Dev.Dev, host)
	if err != nil {
		return err
	}
	s.rpc, err = service.NewRPC(s.cfg.Query.Listen, secure, host.Health, mounts(s.reads, host)...)
	return err
}

// Addr is the address of the RPC port.
func (s *Service) Addr() string { return s.rpc.Addr() }

// Run serves until ctx ends, then drains: RPC port, reads, lease, in this order.
func (s *Service) Run(ctx context.Context) error {
	defer s.close()
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var background errgroup.Group
	background.Go(func() error { return s.epochs.Run(inner) })
	background.Go(func() error { s.reads.Run(inner, s.cfg.Participant.Heartbeat); return nil })
	err := s.rpc.Run(ctx)
	drain, cancel := context.WithTimeout(inner, drainTimeout)
	defer cancel()
	s.reads.Close(drain)
	stop()
	return errors.Join(err, background.Wait())
}

func (s *Service) close() {
	if s.rpc != nil {
		_ = s.rpc.Close()
	}
	for _, pool := range []*pgxpool.Pool{s.primary, s.replica} {
		if pool != nil {
			pool.Close()
		}
	}
	if s.rdb != nil {
		_ = s.rdb.Close()
	}
	if s.pinger != nil {
		_ = s.pinger.Close()
	}
}
