package persister

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/service"

	"github.com/littlevote/littlevote/services/persister/internal/persist"
)

// heartbeatsPerSession makes members hear of each other soon: half a second by default.
const heartbeatsPerSession = 12

// Service is one instance.
type Service struct {
	cfg      Config
	log      *slog.Logger
	pool     *pgxpool.Pool
	producer *kgo.Client
	work     *persist.Persister
	rpc      *service.RPC
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

func (s *Service) connect(ctx context.Context, host service.Host) error {
	id, err := newID()
	if err != nil {
		return err
	}
	if s.pool, err = pgledger.Open(ctx, s.cfg.Postgres); err != nil {
		return err
	}
	if err := pgledger.Measure(s.pool, host.Meter, "persister-primary"); err != nil {
		return err
	}
	timed, err := events.Measured(host.Meter)
	if err != nil {
		return err
	}
	// A dead letter is a record of full size with more headers.
	if s.producer, err = events.NewProducer(s.cfg.Kafka, s.log, kgo.ProducerBatchMaxBytes(2<<20), timed); err != nil {
		return err
	}
	c := s.cfg.Persister
	s.work, err = persist.New(persist.Config{
		ID:                 id,
		Group:              c.Group,
		Instance:           c.Instance,
		Kafka:              s.cfg.Kafka,
		Participant:        s.cfg.Participant,
		BatchRecords:       c.BatchRecords,
		BatchVotes:         c.BatchVotes,
		BufferBytes:        c.BufferBytes,
		TransactionTimeout: c.TransactionTimeout,
		SessionTimeout:     c.SessionTimeout,
		GroupHeartbeat:     c.SessionTimeout / heartbeatsPerSession,
		Weak:               host.Health.Weak,
		Tracer:             host.Tracer,
	}, s.pool, s.producer, host.Meter, s.log)
	if err != nil {
		return err
	}
	host.Health.Check("persister", s.work.Ready)
	secure, err := service.OpenTLS(s.cfg.TLS, false, host)
	if err != nil {
		return err
	}
	s.rpc, err = service.NewRPC(c.Listen, secure, host.Health) // Nobody calls a persister but for its health.
	return err
}

// newID is a name that no other persister has, and from which people can tell where it runs.
func newID() (string, error) {
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("name of this host: %w", err)
	}
	return fmt.Sprintf("persister/%s/%d/%s", name, os.Getpid(), rand.Text()[:8]), nil
}

// Addr is the address of the port.
func (s *Service) Addr() string { return s.rpc.Addr() }

// Run works until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	defer s.close()
	group, inner := errgroup.WithContext(ctx)
	group.Go(func() error { return s.rpc.Run(inner) })
	group.Go(func() error {
		if !s.migrate(inner) {
			return nil
		}
		return s.work.Run(inner)
	})
	return group.Wait()
}

// migrate waits for Postgres, and for the migration; false means that ctx ended before.
func (s *Service) migrate(ctx context.Context) bool {
	if !s.cfg.Persister.Migrate {
		return true
	}
	for told := false; ; {
		err := pgledger.Migrate(ctx, s.cfg.Postgres.URL, s.log)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		if !told {
			s.log.WarnContext(ctx, "migrate; will be tried again", "error", err)
			told = true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(time.Second):
		}
	}
}

func (s *Service) close() {
	if s.rpc != nil {
		if err := s.rpc.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			s.log.DebugContext(context.Background(), "close the port", "error", err)
		}
	}
	if s.producer != nil {
		s.producer.Close()
	}
	if s.pool != nil {
		s.pool.Close()
	}
}
