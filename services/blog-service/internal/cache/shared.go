package cache

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed put.lua
var putScript string

const (
	redisPrefix = "blog:"
	// sharedTimeout is how long Redis may take where Postgres would answer as well.
	sharedTimeout = 250 * time.Millisecond
)

// shared is L2 of one kind.
type shared[V any] struct {
	rdb    redis.UniversalClient
	kind   string
	ttl    time.Duration
	jitter time.Duration
	absent time.Duration
	encode func(V) ([]byte, error)
	decode func([]byte) (V, error)
}

// get returns those that are there. An entry that does not parse is as if it were not there.
func (s *shared[V]) get(ctx context.Context, ids []ID) (map[ID]Entry[V], error) {
	ctx, cancel := context.WithTimeout(ctx, sharedTimeout)
	defer cancel()
	commands := make([]*redis.SliceCmd, len(ids))
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, id := range ids {
			commands[i] = p.HMGet(ctx, redisPrefix+id.key(s.kind), "v", "f", "o", "d")
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read from Redis: %w", err)
	}
	entries := make(map[ID]Entry[V], len(ids))
	for i, id := range ids {
		if e, ok := s.parse(commands[i].Val()); ok {
			entries[id] = e
		}
	}
	return entries, nil
}

func (s *shared[V]) parse(fields []any) (Entry[V], bool) {
	if len(fields) != 4 {
		return Entry[V]{}, false
	}
	text := make([]string, 4)
	for i, field := range fields {
		var ok bool
		if text[i], ok = field.(string); !ok {
			return Entry[V]{}, false
		}
	}
	version, err := strconv.ParseInt(text[0], 10, 64)
	if err != nil {
		return Entry[V]{}, false
	}
	e := Entry[V]{Version: version, Found: text[1] == "1", Owner: text[2]}
	if e.Found {
		if e.Value, err = s.decode([]byte(text[3])); err != nil {
			return Entry[V]{}, false
		}
	}
	return e, true
}

// put keeps entries, each unless a newer one is there. Redis's own timeout bounds it.
func (s *shared[V]) put(ctx context.Context, entries map[ID]Entry[V]) error {
	var encoding error
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for id, e := range entries {
			var data []byte
			if e.Found {
				var err error
				if data, err = s.encode(e.Value); err != nil {
					encoding = errors.Join(encoding, err)
					continue
				}
			}
			ttl := s.absent
			if e.Version > 0 {
				ttl = s.ttl + rand.N(s.jitter)
			}
			found := 0
			if e.Found {
				found = 1
			}
			// The whole text each time: in a pipeline nobody could send it after a NOSCRIPT.
			p.Eval(ctx, putScript, []string{redisPrefix + id.key(s.kind)}, e.Version, found, e.Owner, data, ttl.Milliseconds())
		}
		return nil
	})
	if err = errors.Join(err, encoding); err != nil {
		return fmt.Errorf("write to Redis: %w", err)
	}
	return nil
}

// tell announces a change to every instance.
func (s *shared[V]) tell(ctx context.Context, c change) error {
	if err := s.rdb.Publish(ctx, changesChannel, c.String()).Err(); err != nil {
		return fmt.Errorf("announce a change: %w", err)
	}
	return nil
}
