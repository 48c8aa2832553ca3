package account

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/metric"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	blogv1 "github.com/littlevote/littlevote/proto/gen/littlevote/blog/v1"

	"github.com/littlevote/littlevote/services/blog-service/internal/cache"
	"github.com/littlevote/littlevote/services/blog-service/internal/limit"
	"github.com/littlevote/littlevote/services/blog-service/internal/refusal"
	"github.com/littlevote/littlevote/services/blog-service/internal/request"
	"github.com/littlevote/littlevote/services/blog-service/internal/store"
)

// Kind is what users are called in the cache.
const Kind = "user"

// Config holds the limits, and what a service works with.
type Config struct {
	LoginsPerAccount, LoginsPerAddress, RegistersPerAddress int // a minute
	HashWorkers, HashQueue                                  int
	Idle, Lifetime                                          time.Duration // of sessions
}

// Service is the AccountService.
type Service struct {
	cfg      Config
	store    *store.Store
	users    *cache.Cache[*blogv1.User]
	limits   *limit.Limiter
	sessions *sessions
	hasher   *hasher
	metrics  *metrics
	log      *slog.Logger
}

// Parts are what a service works with.
type Parts struct {
	Store  *store.Store
	Users  *cache.Cache[*blogv1.User]
	Redis  redis.UniversalClient
	Limits *limit.Limiter
	Meter  metric.Meter
	Log    *slog.Logger
}

// New returns the service. It hashes one password, of nobody's.
func New(cfg Config, p Parts) (*Service, error) {
	s := &Service{
		cfg: cfg, store: p.Store, users: p.Users, limits: p.Limits, log: p.Log,
		sessions: newSessions(p.Redis, cfg.Idle, cfg.Lifetime), metrics: &metrics{},
	}
	var err error
	if s.hasher, err = newHasher(cfg.HashWorkers, cfg.HashQueue, s.metrics.hashed); err != nil {
		return nil, err
	}
	return s, s.metrics.init(p.Meter, s.hasher.queued)
}

// Fetch returns users for the cache.
func Fetch(s *store.Store) func(ctx context.Context, ids []cache.ID) (map[cache.ID]cache.Entry[*blogv1.User], error) {
	return func(ctx context.Context, ids []cache.ID) (map[cache.ID]cache.Entry[*blogv1.User], error) {
		users, err := s.Users(ctx, cache.Numbers(ids))
		if err != nil {
			return nil, err
		}
		entries := make(map[cache.ID]cache.Entry[*blogv1.User], len(users))
		for _, u := range users {
			id, e := entry(u)
			entries[id] = e
		}
		return entries, nil
	}
}

// Encode writes a user for the cache.
func Encode(u *blogv1.User) ([]byte, error) { return proto.Marshal(u) }

// Decode reads what Encode wrote.
func Decode(data []byte) (*blogv1.User, error) {
	u := &blogv1.User{}
	return u, proto.Unmarshal(data, u)
}

// entry is a user for the cache. Users do not change, so there is one version.
func entry(u store.User) (cache.ID, cache.Entry[*blogv1.User]) {
	return cache.ID{Tenant: u.Tenant, Number: u.ID},
		cache.Entry[*blogv1.User]{Version: 1, Owner: store.FormatID(u.ID), Found: true, Value: message(u)}
}

func message(u store.User) *blogv1.User {
	return &blogv1.User{Id: store.FormatID(u.ID), Name: u.Name, CreatedAt: timestamppb.New(u.CreatedAt)}
}

// Register implements AccountServiceHandler.
func (s *Service) Register(ctx context.Context, req *blogv1.RegisterRequest) (*blogv1.RegisterResponse, error) {
	if err := request.Tenant(req.GetTenant()); err != nil {
		return nil, err
	}
	name, key, err := checkName(req.GetName())
	if err != nil {
		return nil, err
	}
	password, err := checkPassword(req.GetPassword())
	if err != nil {
		return nil, err
	}
	address, err := limit.Address(req.GetAddress())
	if err != nil {
		return nil, err
	}
	if err := s.limits.Take(ctx, limit.Rule{What: "register", Who: address, Rate: s.cfg.RegistersPerAddress}); err != nil {
		return nil, s.refuse(ctx, "register", err)
	}
	hash, err := s.hasher.hash(ctx, password)
	if err != nil {
		return nil, s.refuse(ctx, "register", err)
	}
	made, err := s.store.CreateUser(ctx, req.GetTenant(), name, key, hash)
	if err != nil {
		return nil, s.refuse(ctx, "register", err)
	}
	id, e := entry(made)
	s.users.Changed(ctx, id, e)
	s.metrics.count(ctx, "register", "done")
	return &blogv1.RegisterResponse{User: e.Value}, nil
}

// Login implements AccountServiceHandler.
func (s *Service) Login(ctx context.Context, req *blogv1.LoginRequest) (*blogv1.LoginResponse, error) {
	if err := request.Tenant(req.GetTenant()); err != nil {
		return nil, err
	}
	address, err := limit.Address(req.GetAddress())
	if err != nil {
		return nil, err
	}
	if len(req.GetName()) > maxBytes || len(req.GetPassword()) > maxBytes {
		return nil, refusal.Invalid("name, password: expected at most %d bytes each", maxBytes)
	}
	// What can't be a name is nobody's; it is limited and checked like any other.
	_, key, err := checkName(req.GetName())
	if err != nil {
		key = strings.ToLower(req.GetName())
	}
	err = s.limits.Take(ctx,
		limit.Rule{What: "login-address", Who: address, Rate: s.cfg.LoginsPerAddress},
		limit.Rule{What: "login-account", Who: req.GetTenant() + "\x00" + key, Rate: s.cfg.LoginsPerAccount})
	if err != nil {
		return nil, s.refuse(ctx, "login", err)
	}
	user, err := s.authenticate(ctx, req.GetTenant(), key, req.GetPassword())
	if err != nil {
		return nil, s.refuse(ctx, "login", err)
	}
	token, begun, err := s.sessions.begin(ctx, user)
	if err != nil {
		return nil, s.refuse(ctx, "login", sessionsAway(err))
	}
	s.metrics.count(ctx, "login", "done")
	return &blogv1.LoginResponse{
		Token: token, User: message(user), ExpiresAt: timestamppb.New(begun.expiresAt), EndsAt: timestamppb.New(begun.endsAt),
	}, nil
}

var errWrong = errors.New("account: wrong name or password")

// authenticate checks a password; for nobody's as long as for anybody's.
func (s *Service) authenticate(ctx context.Context, tenant, key, text string) (store.User, error) {
	user, hash, err := s.store.Credentials(ctx, tenant, key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return store.User{}, err
	}
	password, err := checkPassword(text)
	if err != nil {
		password, hash = text, "" // nobody's, by the rules at registration
	}
	equal, err := s.hasher.verify(ctx, password, hash)
	if err != nil {
		return store.User{}, err
	}
	if !equal {
		return store.User{}, errWrong
	}
	return user, nil
}

// Logout implements AccountServiceHandler.
func (s *Service) Logout(ctx context.Context, req *blogv1.LogoutRequest) (*blogv1.LogoutResponse, error) {
	if err := s.sessions.end(ctx, req.GetToken()); err != nil {
		return nil, s.refuse(ctx, "logout", sessionsAway(err))
	}
	return &blogv1.LogoutResponse{}, nil
}

// CheckSession implements AccountServiceHandler.
func (s *Service) CheckSession(ctx context.Context, req *blogv1.CheckSessionRequest) (*blogv1.CheckSessionResponse, error) {
	found, err := s.sessions.check(ctx, req.GetToken())
	if err != nil {
		return nil, s.refuse(ctx, "session", sessionsAway(err))
	}
	return &blogv1.CheckSessionResponse{
		Tenant: found.user.Tenant, User: message(found.user),
		ExpiresAt: timestamppb.New(found.expiresAt), EndsAt: timestamppb.New(found.endsAt),
	}, nil
}

// GetUsers implements AccountServiceHandler.
func (s *Service) GetUsers(ctx context.Context, req *blogv1.GetUsersRequest) (*blogv1.GetUsersResponse, error) {
	if err := errors.Join(request.Tenant(req.GetTenant()), request.Batch("ids", len(req.GetIds()))); err != nil {
		return nil, err
	}
	ids := make([]cache.ID, 0, len(req.GetIds()))
	for _, text := range req.GetIds() {
		if number, ok := request.UserID(text); ok {
			ids = append(ids, cache.ID{Tenant: req.GetTenant(), Number: number})
		}
	}
	found, err := s.users.Get(ctx, ids, cache.Reader{})
	if err != nil {
		return nil, s.refuse(ctx, "users", err)
	}
	results := make([]*blogv1.UserResult, len(req.GetIds()))
	for i, text := range req.GetIds() {
		results[i] = &blogv1.UserResult{}
		if number, ok := request.UserID(text); ok {
			r := found[cache.ID{Tenant: req.GetTenant(), Number: number}]
			results[i].User, results[i].Stale = r.Value, r.Stale
		}
	}
	return &blogv1.GetUsersResponse{Results: results}, nil
}

// sessionsAway turns an error of Redis into a refusal.
func sessionsAway(err error) error {
	if errors.Is(err, errNoSession) || errors.Is(err, context.Canceled) {
		return err
	}
	return errors.Join(err, refusal.Unavailable("the sessions cannot be reached"))
}

// refuse says to the caller what an error means to them.
func (s *Service) refuse(ctx context.Context, what string, err error) error {
	switch {
	case errors.Is(err, store.ErrExists):
		err = refusal.Exists("user")
	case errors.Is(err, errWrong):
		err = refusal.Unauthenticated("wrong name or password")
	case errors.Is(err, errNoSession):
		err = refusal.Unauthenticated("there is no such session, or it has ended")
	case errors.Is(err, errBusy):
		err = refusal.Overloaded("passwords")
	default:
		err = refusal.Of(ctx, s.log, what, err)
	}
	s.metrics.refused(ctx, what, err)
	return err
}
