package cache

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// changesChannel carries the changes of all kinds.
	changesChannel = "blog:changes"
	// beat is how long nothing may come before Redis is asked for a sign of life.
	beat = time.Second
	// silence is after how many beats without one the connection is given up.
	silence = 3
	// relink is the pause before the next try.
	relink = 100 * time.Millisecond
)

// Link hears about changes. While it is up, it has heard of all of them, but for those on their way.
type Link struct {
	rdb    redis.UniversalClient
	log    *slog.Logger
	up     atomic.Bool
	heard  map[string]func(ID, int64) // by kind
	resets []func()
}

// NewLink returns a link that is down until it runs.
func NewLink(rdb redis.UniversalClient, log *slog.Logger) *Link {
	return &Link{rdb: rdb, log: log, heard: make(map[string]func(ID, int64))}
}

// listen has changed called with every change of a kind, and reset before the first and after each break. It must be
// called before Run.
func (l *Link) listen(kind string, changed func(ID, int64), reset func()) {
	l.heard[kind] = changed
	l.resets = append(l.resets, reset)
}

// Up reports whether changes are heard of.
func (l *Link) Up() bool { return l.up.Load() }

// Run keeps the link up until ctx ends.
func (l *Link) Run(ctx context.Context) {
	for ctx.Err() == nil {
		err := l.hear(ctx)
		if l.up.Swap(false) && ctx.Err() == nil {
			l.log.WarnContext(ctx, "the messages about changes have stopped; nothing is served from memory until they are back", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(relink):
		}
	}
}

var errSilence = errors.New("cache: Redis has said nothing")

// hear listens on one connection until it breaks.
func (l *Link) hear(ctx context.Context) error {
	subscription := l.rdb.Subscribe(ctx, changesChannel)
	defer subscription.Close()
	defer context.AfterFunc(ctx, func() { _ = subscription.Close() })() // waiting does not look at ctx
	for quiet := 0; ; {
		message, err := subscription.ReceiveTimeout(ctx, beat)
		var timeout net.Error
		switch {
		case errors.As(err, &timeout) && timeout.Timeout() && ctx.Err() == nil:
			if quiet++; quiet >= silence {
				return errSilence
			}
			if err := subscription.Ping(ctx); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		}
		quiet = 0
		l.take(message)
	}
}

func (l *Link) take(message any) {
	switch m := message.(type) {
	case *redis.Subscription:
		// From here on everything is heard of; what was kept before may have changed unheard. The library may have made a
		// new connection by itself: it says so with another of these.
		for _, reset := range l.resets {
			reset()
		}
		l.up.Store(true)
	case *redis.Message:
		if c, ok := parseChange(m.Payload); ok && l.heard[c.kind] != nil {
			l.heard[c.kind](c.id, c.version)
		}
	}
}
