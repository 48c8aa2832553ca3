package ticketservice

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/ticket"
	"github.com/littlevote/littlevote/libs/tlsfiles"
	"github.com/littlevote/littlevote/services/ticket-service/internal/ballots"
	"github.com/littlevote/littlevote/services/ticket-service/internal/history"
	"github.com/littlevote/littlevote/services/ticket-service/internal/ledger"
	"github.com/littlevote/littlevote/services/ticket-service/internal/lock"
	"github.com/littlevote/littlevote/services/ticket-service/internal/mint"
	"github.com/littlevote/littlevote/services/ticket-service/internal/tickets"
)

const (
	// closeTimeout bounds the wait for calls to Redis at the end.
	closeTimeout = 2 * time.Second
	// followEvery is how often the epoch is looked up at least. A change is often the first that this service hears of a
	// Redis that has gone away, and until it has heard nobody has a ticket.
	followEvery = 150 * time.Millisecond
)

// Service is one replica.
type Service struct {
	rpc       *service.RPC
	rdb       redis.UniversalClient
	pool      *pgxpool.Pool
	watcher   *epoch.Watcher
	directory *ballots.Directory
	keeper    *lock.Keeper
	lockStore io.Closer // nil if the lock's store has no connections of its own
	minter    *mint.Minter
	history   *history.Writer
	reader    *tickets.Reader
	watchKeys func(context.Context) error
}

// New listens at once, so that Addr is known; nothing is minted and no call is answered before Run. The stores may come
// later.
func New(ctx context.Context, cfg Config, host service.Host) (*Service, error) {
	s := &Service{}
	if err := s.connect(ctx, cfg, host); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *Service) connect(ctx context.Context, cfg Config, host service.Host) error {
	if err := errors.Join(config.Required("redis.url", cfg.Redis.URL), config.Required("postgres.url", cfg.Postgres.URL)); err != nil {
		return err
	}
	keys, err := ticket.Open(cfg.Ticket.KeyFile, cfg.Dev.Dev)
	if err != nil {
		return err
	}
	host.Health.Degraded(keys.Problem)
	s.watchKeys = func(ctx context.Context) error { return keys.Run(ctx, host.Log) }
	if s.rdb, err = redisledger.Connect(cfg.Redis, host.Log); err != nil {
		return err
	}
	if s.pool, err = pgledger.Open(ctx, cfg.Postgres); err != nil {
		return err
	}
	if err := errors.Join(redisledger.Measure(s.rdb, host.Meter, "ticket-redis"), pgledger.Measure(s.pool, host.Meter, "ticket-primary")); err != nil {
		return err
	}
	if err := s.openLock(cfg.Ticket, host.Log); err != nil {
		return err
	}
	s.watcher = epoch.NewWatcher(epoch.NewStore(s.pool), min(cfg.Participant.Heartbeat, followEvery), host.Log)
	both := ledger.New(s.watcher, ledger.Redis{Ledger: redisledger.New(s.rdb)}, ledger.Postgres{Pool: s.pool})
	s.directory = ballots.NewDirectory(s.pool, cfg.rules(), host.Log)
	s.history = history.NewWriter(s.pool, host.Log)
	s.reader = tickets.NewReader(both)
	s.minter, err = mint.New(mint.Config{
		Ledger: both, Epochs: s.watcher, Ballots: s.directory, Lock: s.keeper, History: s.history, Keys: keys,
		LockTTL: cfg.Ticket.LockTTL, Meter: host.Meter, Log: host.Log, Tracer: host.Tracer,
	})
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	s.checks(host.Health)
	secure, err := service.OpenTLS(cfg.TLS, cfg.Dev.Dev, host)
	if err != nil {
		return err
	}
	s.rpc, err = service.NewRPC(cfg.Ticket.Listen, secure, host.Health, mounts(tickets.NewHandler(s.reader, s.directory, host.Log), host)...)
	if err != nil {
		return fmt.Errorf("ticket.listen: %w", err)
	}
	return nil
}

// checks names what GetTicket cannot do without: the store of the open epoch's tickets. Of Postgres it needs no more than
// that. The names are the service's own, since other services of the same process may have checks like these.
func (s *Service) checks(health *service.Health) {
	health.Check("ticket-redis", func(ctx context.Context) error {
		if l, open := s.watcher.Current(); open && l.Mode == epoch.Postgres {
			return nil
		}
		return s.rdb.Ping(ctx).Err()
	})
	health.Check("ticket-ballots", s.directory.Ready)
	health.Check("ticket-epoch", func(context.Context) error {
		if _, ok := s.watcher.Current(); !ok {
			return errors.New("no ledger is open")
		}
		return nil
	})
}

func (s *Service) openLock(cfg Ticket, log *slog.Logger) error {
	var backend lock.Backend = lock.None{}
	switch cfg.Lock {
	case lockRedis:
		backend = lock.NewRedis(s.rdb, cfg.LockKey, cfg.LockTTL)
	case lockRing:
		backend = lock.NewRing(s.rdb, cfg.LockKey, cfg.LockTTL)
	case lockEtcd:
		secure, err := tlsfiles.Open("ticket.lock-etcd", cfg.LockEtcd.files(), log)
		if err != nil {
			return err
		}
		etcd, err := lock.NewEtcd(cfg.LockEtcdEndpoints, secure, cfg.LockKey, cfg.LockTTL)
		if err != nil {
			return err
		}
		backend, s.lockStore = etcd, etcd
	}
	s.keeper = lock.NewKeeper(backend, cfg.LockTTL, log)
	return nil
}

// rules is what the configuration says of the built-in ballots.
func (c Config) rules() []ballots.Rule {
	return []ballots.Rule{
		{Ballot: "main", Cap: int64(c.Ticket.Cap), Interval: c.Ticket.Interval},
		{Ballot: "cast", Cap: int64(c.Ballots.Cast.Ticket.Cap), Interval: c.Ballots.Cast.Ticket.Interval},
		{Ballot: "tiny", Cap: int64(c.Ballots.Tiny.Ticket.Cap), Interval: c.Ballots.Tiny.Ticket.Interval},
	}
}

// Addr is the address on which it answers.
func (s *Service) Addr() string { return s.rpc.Addr() }

// Run works until ctx ends. Then it gives the lock away at once, drains the calls, writes the rest of the history, and
// closes what New has opened.
func (s *Service) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, part := range []func(context.Context) error{
		s.watchKeys, s.watcher.Run, s.directory.Run, s.keeper.Run, s.minter.Run, s.history.Run, s.rpc.Run,
	} {
		group.Go(func() error { return part(ctx) })
	}
	return errors.Join(group.Wait(), s.close())
}

func (s *Service) close() error {
	var errs []error
	if s.reader != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		s.reader.Close(ctx)
	}
	if s.lockStore != nil {
		errs = append(errs, s.lockStore.Close())
	}
	if s.pool != nil {
		s.pool.Close()
	}
	if s.rdb != nil {
		errs = append(errs, s.rdb.Close())
	}
	return errors.Join(errs...)
}
