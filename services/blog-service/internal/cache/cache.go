package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/littlevote/littlevote/libs/loader"
	"github.com/littlevote/littlevote/libs/tracing"
)

// fetchBatch is how many keys one fetch from Postgres asks for.
const fetchBatch = 500

// Config is what a cache is made of.
type Config[V any] struct {
	Kind   string // names the things, in Redis and in metrics: a word
	Fetch  func(ctx context.Context, ids []ID) (map[ID]Entry[V], error)
	Encode func(V) ([]byte, error)
	Decode func([]byte) (V, error)

	LocalSize                                    int
	LocalTTL, SharedTTL, SharedJitter, AbsentTTL time.Duration
	Loader                                       loader.Config // without its Batch

	Redis   redis.UniversalClient
	Link    *Link
	Hot     *Hot
	Metrics *Metrics
	Log     *slog.Logger
}

// Cache keeps things of one kind. It is safe for concurrent use.
type Cache[V any] struct {
	kind    string
	span    string // the name of a read's
	local   *local[V]
	shared  *shared[V]
	loader  *loader.Loader[ID, Entry[V]]
	link    *Link
	hot     *Hot
	dirty   *dirt
	metrics *Metrics
	log     *slog.Logger
}

// New returns an empty cache. Its link must not run yet.
func New[V any](cfg Config[V]) (*Cache[V], error) {
	l, err := newLocal[V](cfg.LocalSize, cfg.LocalTTL, cfg.AbsentTTL)
	if err != nil {
		return nil, err
	}
	c := &Cache[V]{
		kind: cfg.Kind, span: "read " + cfg.Kind, local: l, link: cfg.Link, hot: cfg.Hot, metrics: cfg.Metrics, log: cfg.Log, dirty: newDirt(),
		shared: &shared[V]{
			rdb: cfg.Redis, kind: cfg.Kind, ttl: cfg.SharedTTL, jitter: cfg.SharedJitter, absent: cfg.AbsentTTL,
			encode: cfg.Encode, decode: cfg.Decode,
		},
	}
	cfg.Loader.Batch, cfg.Loader.Span = fetchBatch, "fetch "+cfg.Kind
	c.loader = loader.New(cfg.Loader, func(ctx context.Context, ids []ID) (map[ID]Entry[V], error) {
		entries, err := cfg.Fetch(ctx, ids)
		if err != nil {
			return nil, err
		}
		return c.fill(ctx, ids, entries), nil
	})
	c.link.listen(cfg.Kind, c.local.change, c.local.reset)
	cfg.Metrics.watch(cfg.Kind, c.local.size, c.loader.Waiting)
	return c, nil
}

// fill adds what there is not, and keeps everything in L2.
func (c *Cache[V]) fill(ctx context.Context, ids []ID, entries map[ID]Entry[V]) map[ID]Entry[V] {
	for _, id := range ids {
		if _, ok := entries[id]; !ok {
			entries[id] = Entry[V]{}
		}
	}
	if c.link.Up() {
		ctx, cancel := context.WithTimeout(ctx, sharedTimeout)
		defer cancel()
		if err := c.shared.put(ctx, entries); err != nil {
			c.log.DebugContext(ctx, "fill L2", "kind", c.kind, "error", err)
		}
	}
	return entries
}

// Reader is who reads.
type Reader struct {
	Viewer string // their own things come as they last wrote them; may be empty
	Fresh  bool   // everything comes from Postgres
}

// Result is what was read.
type Result[V any] struct {
	Entry[V]
	Stale bool // a store that would know of a change was away
}

// Get returns a result for each of the ids, or an error if one of them can't be had from anywhere.
func (c *Cache[V]) Get(ctx context.Context, ids []ID, r Reader) (map[ID]Result[V], error) {
	ctx, span := tracing.Start(ctx, c.span)
	g := get[V]{Cache: c, span: span, reader: r, results: make(map[ID]Result[V], len(ids)), hot: make(map[ID]bool), generation: c.local.generation()}
	need := make([]ID, 0, len(ids))
	for _, id := range ids {
		hot := c.hot.Seen(id.key(c.kind))
		if _, twice := g.hot[id]; !twice {
			need = append(need, id)
		}
		g.hot[id] = hot
	}
	if c.link.Up() && !r.Fresh {
		need = g.fromShared(ctx, g.fromLocal(ctx, need))
	}
	err := g.fromDatabase(ctx, need)
	tracing.End(span, err)
	if err != nil {
		return nil, err
	}
	return g.results, nil
}

// get is one read on its way through the levels.
type get[V any] struct {
	*Cache[V]
	span       trace.Span
	reader     Reader
	results    map[ID]Result[V]
	hot        map[ID]bool
	generation int64
}

// fromLocal returns what is left to look for.
func (g *get[V]) fromLocal(ctx context.Context, ids []ID) (left []ID) {
	for _, id := range ids {
		e, ok := g.local.get(id)
		if !ok || g.dirty.has(id) || g.mayOwn(e) {
			left = append(left, id)
			continue
		}
		g.results[id] = Result[V]{Entry: e}
	}
	g.came(ctx, levelLocal, len(ids)-len(left))
	return left
}

// mayOwn reports whether the reader may know better than memory: of their own things, and of what had not been made yet.
func (g *get[V]) mayOwn(e Entry[V]) bool {
	return g.reader.Viewer != "" && (g.reader.Viewer == e.Owner || e.Version == 0)
}

func (g *get[V]) fromShared(ctx context.Context, ids []ID) (left []ID) {
	if len(ids) == 0 {
		return nil
	}
	entries, err := g.shared.get(ctx, ids)
	if err != nil {
		g.log.DebugContext(ctx, "read L2", "kind", g.kind, "error", err)
		return ids
	}
	for _, id := range ids {
		e, ok := entries[id]
		if !ok || g.dirty.has(id) {
			left = append(left, id)
			continue
		}
		g.take(id, e)
	}
	g.came(ctx, levelShared, len(ids)-len(left))
	return left
}

// take answers with an entry, and keeps it if it is hot.
func (g *get[V]) take(id ID, e Entry[V]) {
	g.results[id] = Result[V]{Entry: e}
	if g.hot[id] && g.link.Up() {
		g.local.put(id, e, g.generation)
	}
}

func (g *get[V]) fromDatabase(ctx context.Context, ids []ID) error {
	if len(ids) == 0 {
		return nil
	}
	// Who is named may ask for their own things, and those must not come from a fetch that began before they were written.
	entries, err := g.loader.Load(ctx, ids, g.reader.Fresh || g.reader.Viewer != "")
	if err == nil {
		for _, id := range ids {
			g.take(id, entries[id])
		}
		g.came(ctx, levelDatabase, len(ids))
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return g.stale(ctx, ids, err)
}

// stale answers with whatever is left somewhere.
func (g *get[V]) stale(ctx context.Context, ids []ID, why error) error {
	entries, err := g.shared.get(ctx, ids)
	if err != nil {
		g.log.DebugContext(ctx, "read L2", "kind", g.kind, "error", err)
	}
	for _, id := range ids {
		e, ok := entries[id]
		if !ok {
			e, ok = g.local.get(id)
		}
		if !ok {
			return fmt.Errorf("%s: %w", g.kind, why)
		}
		g.results[id] = Result[V]{Entry: e, Stale: true}
	}
	g.came(ctx, levelStale, len(ids))
	return nil
}

// came says how many things came from a level.
func (g *get[V]) came(ctx context.Context, level string, n int) {
	g.metrics.read(ctx, g.kind, level, n)
	if g.span.IsRecording() {
		g.span.SetAttributes(attribute.Int("littlevote.cache."+level, n))
	}
}

// Changed makes a write known, before it is acknowledged.
func (c *Cache[V]) Changed(ctx context.Context, id ID, e Entry[V]) {
	c.local.change(id, e.Version)
	if err := c.announce(context.WithoutCancel(ctx), id, e); err != nil {
		c.log.WarnContext(ctx, "a change is not in Redis yet", "kind", c.kind, "error", err)
		c.Doubt(id)
	}
}

// Doubt says that a thing may have changed. Until it is put right, this process reads it from Postgres.
func (c *Cache[V]) Doubt(id ID) { c.dirty.add(id) }

func (c *Cache[V]) announce(ctx context.Context, id ID, e Entry[V]) error {
	if !c.link.Up() {
		return errSilence
	}
	if err := c.shared.put(ctx, map[ID]Entry[V]{id: e}); err != nil {
		return err
	}
	return c.shared.tell(ctx, change{kind: c.kind, id: id, version: e.Version})
}

// Run puts right what is dirty, until ctx ends.
func (c *Cache[V]) Run(ctx context.Context) {
	pause := time.NewTicker(repairPause)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
			if err := c.repair(ctx); err != nil && !errors.Is(err, context.Canceled) {
				c.log.DebugContext(ctx, "put right what is dirty", "kind", c.kind, "error", err)
			}
		}
	}
}

// repair reads what is dirty from Postgres and makes it known.
func (c *Cache[V]) repair(ctx context.Context) error {
	ids := c.dirty.some(fetchBatch)
	if len(ids) == 0 || !c.link.Up() {
		return nil
	}
	marks := c.dirty.marks(ids)
	entries, err := c.loader.Load(ctx, ids, true)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := c.announce(ctx, id, entries[id]); err != nil {
			return err
		}
		c.dirty.clean(id, marks[id])
	}
	return nil
}

// Close waits for the fetches on their way. Nothing may be asked for any more.
func (c *Cache[V]) Close() {
	c.loader.Close()
	c.local.close()
}
