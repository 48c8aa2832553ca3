package blogservice

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/loader"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/service"
	blogv1 "github.com/littlevote/littlevote/proto/gen/littlevote/blog/v1"

	"github.com/littlevote/littlevote/services/blog-service/internal/account"
	"github.com/littlevote/littlevote/services/blog-service/internal/cache"
	"github.com/littlevote/littlevote/services/blog-service/internal/limit"
	"github.com/littlevote/littlevote/services/blog-service/internal/post"
	"github.com/littlevote/littlevote/services/blog-service/internal/redisspans"
	"github.com/littlevote/littlevote/services/blog-service/internal/store"
)

var errNotMigrated = errors.New("the tables are not up to date yet")

// Service is one instance.
type Service struct {
	cfg      Config
	log      *slog.Logger
	rdb      redis.UniversalClient
	pool     *pgxpool.Pool
	store    *store.Store
	link     *cache.Link
	hot      *cache.Hot
	users    *cache.Cache[*blogv1.User]
	posts    *cache.Cache[*blogv1.Post]
	limits   *limit.Limiter
	articles *post.Service
	liking   liking
	rpc      *service.RPC
	migrated atomic.Bool
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
	if s.pool, err = pgledger.Open(ctx, s.cfg.Postgres); err != nil {
		return err
	}
	s.rdb.AddHook(redisspans.Hook{})
	if err := errors.Join(redisledger.Measure(s.rdb, host.Meter, "blog-redis"), pgledger.Measure(s.pool, host.Meter, "blog-primary")); err != nil {
		return err
	}
	s.store = store.New(s.pool, s.cfg.Blog.Timeout)
	s.limits = limit.New(s.rdb)
	if err := s.caches(host); err != nil {
		return err
	}
	s.migrated.Store(!s.cfg.Blog.Migrate)
	host.Health.Check("blog", s.ready)
	host.Health.Degraded(s.degraded)
	secure, err := service.OpenTLS(s.cfg.TLS, s.cfg.Dev.Dev, host)
	if err != nil {
		return err
	}
	handlers, err := s.handlers(host, secure)
	if err != nil {
		return err
	}
	s.rpc, err = service.NewRPC(s.cfg.Blog.Listen, secure, host.Health, mounts(handlers, host)...)
	return err
}

// caches makes the cache of each kind, and what they share.
func (s *Service) caches(host service.Host) error {
	h := s.cfg.Blog.Hot
	s.link = cache.NewLink(s.rdb, s.log)
	s.hot = cache.NewHot(cache.HotConfig{
		Width: h.Width, Depth: h.Depth, Top: h.Top, Decay: h.Decay, Least: h.Least, Fade: h.Fade, Publish: h.Publish,
	}, s.rdb, s.log)
	metrics, err := cache.NewMetrics(host.Meter, s.hot)
	if err != nil {
		return err
	}
	if s.users, err = cache.New(cacheOf(s, metrics, account.Kind, account.Fetch(s.store), account.Encode, account.Decode)); err != nil {
		return err
	}
	s.posts, err = cache.New(cacheOf(s, metrics, post.Kind, post.Fetch(s.store), post.Encode, post.Decode))
	return err
}

func cacheOf[V any](
	s *Service, metrics *cache.Metrics, kind string,
	fetch func(context.Context, []cache.ID) (map[cache.ID]cache.Entry[V], error), encode func(V) ([]byte, error), decode func([]byte) (V, error),
) cache.Config[V] {
	c := s.cfg.Blog.Cache
	return cache.Config[V]{
		Kind: kind, Fetch: fetch, Encode: encode, Decode: decode,
		LocalSize: c.LocalSize, LocalTTL: c.LocalTTL, SharedTTL: c.SharedTTL, SharedJitter: c.SharedJitter, AbsentTTL: c.AbsentTTL,
		Loader: s.loading(),
		Redis:  s.rdb, Link: s.link, Hot: s.hot, Metrics: metrics, Log: s.log,
	}
}

func (s *Service) loading() loader.Config {
	return loader.Config{Workers: s.cfg.Blog.Workers, Queue: s.cfg.Blog.Queue, Timeout: s.cfg.Blog.Timeout}
}

// handlers makes what answers the RPC services.
func (s *Service) handlers(host service.Host, secure *service.TLS) (handlers, error) {
	b := s.cfg.Blog
	accounts, err := account.New(account.Config{
		LoginsPerAccount: b.Limits.LoginsPerAccount, LoginsPerAddress: b.Limits.LoginsPerAddress,
		RegistersPerAddress: b.Limits.RegistersPerAddress,
		HashWorkers:         b.Hash.Workers, HashQueue: b.Hash.Queue,
		Idle: b.Sessions.Idle, Lifetime: b.Sessions.Lifetime,
	}, account.Parts{Store: s.store, Users: s.users, Redis: s.rdb, Limits: s.limits, Meter: host.Meter, Log: s.log})
	if err != nil {
		return handlers{}, err
	}
	s.articles = post.New(post.Config{
		WritesPerAuthor: b.Limits.PostWritesPerAuthor, WritesPerAddress: b.Limits.PostWritesPerAddress, Lists: s.loading(),
	}, post.Parts{Store: s.store, Posts: s.posts, Limits: s.limits, Log: s.log})
	liked, err := s.likes(host, secure)
	if err != nil {
		return handlers{}, err
	}
	return handlers{likes: liked, accounts: accounts, posts: s.articles}, nil
}

// Addr is the address of the RPC port.
func (s *Service) Addr() string { return s.rpc.Addr() }

// Run serves until ctx ends, then drains: RPC port, fetches, and what runs beside them, in this order.
func (s *Service) Run(ctx context.Context) error {
	defer s.close()
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	var background sync.WaitGroup
	for _, run := range []func(context.Context){s.migrate, s.link.Run, s.hot.Run, s.users.Run, s.posts.Run} {
		background.Go(func() { run(inner) })
	}
	err := s.rpc.Run(ctx)
	stop()
	background.Wait()
	s.articles.Close()
	return err
}

// Migrate brings the blog's tables to this version, before an instance does it by itself.
func Migrate(ctx context.Context, cfg config.Postgres, log *slog.Logger) error {
	pool, err := pgledger.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer pool.Close()
	return store.Migrate(ctx, pool, log)
}

// migrateRetry is the pause after a try, while Postgres is away.
const migrateRetry = time.Second

// migrate brings the tables up to date, as soon as Postgres lets it.
func (s *Service) migrate(ctx context.Context) {
	for !s.migrated.Load() {
		err := store.Migrate(ctx, s.pool, s.log)
		if err == nil {
			s.migrated.Store(true)
			return
		}
		if ctx.Err() == nil {
			s.log.WarnContext(ctx, "the blog's tables are not up to date yet", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(migrateRetry):
		}
	}
}

// ready is a health check. Later on, an instance without its stores still says what is wrong, and serves what it can.
func (s *Service) ready(context.Context) error {
	if !s.migrated.Load() {
		return errNotMigrated
	}
	return nil
}

// degraded says what does not go as usual.
func (s *Service) degraded() string {
	if !s.link.Up() {
		return "blog: Redis does not answer: no logins and no sessions, and every post is read from Postgres"
	}
	return ""
}

func (s *Service) close() {
	if s.rpc != nil {
		_ = s.rpc.Close()
	}
	s.liking.close()
	if s.users != nil {
		s.users.Close()
	}
	if s.posts != nil {
		s.posts.Close()
	}
	if s.pool != nil {
		s.pool.Close()
	}
	if s.rdb != nil {
		_ = s.rdb.Close()
	}
}
