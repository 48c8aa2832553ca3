package account

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/redis/go-redis/v9"

	"github.com/littlevote/littlevote/services/blog-service/internal/store"
)

const (
	// tokenPrefix lets a gateway tell a session's token from others, and a scanner find one that leaked.
	tokenPrefix = "lvs_"
	tokenLength = 43 // 32 random bytes in base64url

	sessionKeys = "blog:session:"

	// The fields of a session.
	fieldUser    = "user"
	fieldTenant  = "tenant"
	fieldName    = "name"
	fieldCreated = "created"
)

var errNoSession = errors.New("account: there is no such session")

// session is one that goes on.
type session struct {
	user      store.User
	expiresAt time.Time // unless it is used
	endsAt    time.Time
}

// sessions keeps them in Redis.
type sessions struct {
	manager *scs.SessionManager
	idle    time.Duration
}

func newSessions(rdb redis.UniversalClient, idle, lifetime time.Duration) *sessions {
	m := scs.New()
	m.Store = &sessionStore{rdb: rdb}
	m.Lifetime = lifetime
	// A use that comes soon after another one writes nothing: what it would add is in the time already.
	m.IdleTimeout = idle + slack(idle)
	m.HashTokenInStore = true
	return &sessions{manager: m, idle: idle}
}

func slack(idle time.Duration) time.Duration { return idle / 60 }

// begin makes a session.
func (s *sessions) begin(ctx context.Context, u store.User) (string, session, error) {
	ctx, err := s.manager.Load(context.WithValue(ctx, noteKey{}, &note{isNew: true}), "")
	if err != nil {
		return "", session{}, fmt.Errorf("begin a session: %w", err)
	}
	s.manager.Put(ctx, fieldUser, u.ID)
	s.manager.Put(ctx, fieldTenant, u.Tenant)
	s.manager.Put(ctx, fieldName, u.Name)
	s.manager.Put(ctx, fieldCreated, u.CreatedAt.UnixMicro())
	token, expires, err := s.manager.Commit(ctx)
	if err != nil {
		return "", session{}, fmt.Errorf("begin a session: %w", err)
	}
	return tokenPrefix + token, session{user: u, expiresAt: expires, endsAt: s.manager.Deadline(ctx)}, nil
}

// check returns a session and lets it go on; errNoSession if it has ended.
func (s *sessions) check(ctx context.Context, token string) (session, error) {
	bare, ok := bareToken(token)
	if !ok {
		return session{}, errNoSession
	}
	n := &note{}
	ctx, err := s.manager.Load(context.WithValue(ctx, noteKey{}, n), bare)
	if err != nil {
		return session{}, fmt.Errorf("check a session: %w", err)
	}
	if !s.manager.Exists(ctx, fieldUser) || !time.Now().Before(s.manager.Deadline(ctx)) {
		return session{}, errNoSession
	}
	found := session{
		user: store.User{
			ID: s.manager.GetInt64(ctx, fieldUser), Tenant: s.manager.GetString(ctx, fieldTenant),
			Name: s.manager.GetString(ctx, fieldName), CreatedAt: time.UnixMicro(s.manager.GetInt64(ctx, fieldCreated)),
		},
		expiresAt: time.Now().Add(n.left), endsAt: s.manager.Deadline(ctx),
	}
	if n.left > s.idle || !found.expiresAt.Before(found.endsAt.Add(-slack(s.idle))) {
		return found, nil
	}
	if _, found.expiresAt, err = s.manager.Commit(ctx); err != nil {
		return session{}, fmt.Errorf("prolong a session: %w", err)
	}
	return found, nil
}

// end ends a session, if there is one.
func (s *sessions) end(ctx context.Context, token string) error {
	bare, ok := bareToken(token)
	if !ok {
		return nil
	}
	ctx, err := s.manager.Load(context.WithValue(ctx, noteKey{}, &note{}), bare)
	if err == nil && s.manager.Exists(ctx, fieldUser) {
		err = s.manager.Destroy(ctx)
	}
	if err != nil {
		return fmt.Errorf("end a session: %w", err)
	}
	return nil
}

// bareToken returns what follows the prefix, of a text that could be a token of ours.
func bareToken(token string) (string, bool) {
	bare, ok := strings.CutPrefix(token, tokenPrefix)
	return bare, ok && len(bare) == tokenLength
}

// note is what the store and its caller tell each other about one session, on the way through the library.
type note struct {
	isNew bool          // commit may make it
	left  time.Duration // until it ends unless it is used
}

type noteKey struct{}

// sessionStore is scs's store. The one that scs offers takes no Redis Cluster, and its commit would bring a session back
// that has been ended in the meantime.
type sessionStore struct{ rdb redis.UniversalClient }

var errNeedsContext = errors.New("account: sessions need a context")

// FindCtx is part of scs.CtxStore.
func (s *sessionStore) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	var data *redis.StringCmd
	var left *redis.DurationCmd
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		data, left = p.Get(ctx, sessionKeys+token), p.PTTL(ctx, sessionKeys+token)
		return nil
	})
	if errors.Is(err, redis.Nil) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	if n, ok := ctx.Value(noteKey{}).(*note); ok {
		n.left = left.Val()
	}
	return []byte(data.Val()), true, nil
}

// CommitCtx is part of scs.CtxStore.
func (s *sessionStore) CommitCtx(ctx context.Context, token string, data []byte, expiry time.Time) error {
	args := redis.SetArgs{Mode: "XX", TTL: time.Until(expiry)}
	if n, ok := ctx.Value(noteKey{}).(*note); ok && n.isNew {
		args.Mode = "NX"
	}
	err := s.rdb.SetArgs(ctx, sessionKeys+token, data, args).Err()
	if errors.Is(err, redis.Nil) {
		return errNoSession
	}
	return err
}

// DeleteCtx is part of scs.CtxStore.
func (s *sessionStore) DeleteCtx(ctx context.Context, token string) error {
	return s.rdb.Del(ctx, sessionKeys+token).Err()
}

// Find is part of scs.Store; the manager calls the method with a context instead.
func (s *sessionStore) Find(string) ([]byte, bool, error) { return nil, false, errNeedsContext }

// Commit is part of scs.Store, like Find.
func (s *sessionStore) Commit(string, []byte, time.Time) error { return errNeedsContext }

// Delete is part of scs.Store, like Find.
func (s *sessionStore) Delete(string) error { return errNeedsContext }
