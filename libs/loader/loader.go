// Package loader fetches values by key from a database, for many who want them at the same time.
package loader

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/littlevote/littlevote/libs/tracing"
)

// ErrOverloaded says that too many keys wait for a fetch.
var ErrOverloaded = errors.New("loader: too many keys wait")

// Loader fetches values: many keys at once, each key once at a time, for all who want it. It has a few workers, so that the
// database never has more of its fetches than that, and a queue with a bound. A caller that gives up leaves the others
// alone: no fetch runs under a caller's context.
type Loader[K comparable, V any] struct {
	cfg   Config
	fetch func(ctx context.Context, keys []K) (map[K]V, error)

	mu      sync.Mutex
	order   []K            // that wait, the oldest first
	waiting map[K]*call[V] // that wait, too
	sent    map[K]*call[V] // that are being fetched
	workers int
	running sync.WaitGroup
}

// Config bounds a loader.
type Config struct {
	Span    string        // the name of a fetch's
	Workers int           // fetches at once
	Batch   int           // keys in one fetch
	Queue   int           // keys that wait
	Timeout time.Duration // of a fetch
}

// call is one key's place in a fetch.
type call[V any] struct {
	asks  []trace.Span      // of those who wait and are traced: some of them, where they are many
	batch trace.SpanContext // of the fetch, once it is sent
	done  chan struct{}
	value V
	found bool
	err   error
}

// New returns a loader. What fetch leaves out is not found.
func New[K comparable, V any](cfg Config, fetch func(ctx context.Context, keys []K) (map[K]V, error)) *Loader[K, V] {
	return &Loader[K, V]{cfg: cfg, fetch: fetch, waiting: make(map[K]*call[V]), sent: make(map[K]*call[V])}
}

// Load returns the values of those keys that have one. With current, it joins no fetch that was sent before it was called.
func (l *Loader[K, V]) Load(ctx context.Context, keys []K, current bool) (map[K]V, error) {
	calls, err := l.join(keys, current, trace.SpanFromContext(ctx))
	if err != nil {
		return nil, err
	}
	values := make(map[K]V, len(keys))
	for key, c := range calls {
		select {
		case <-c.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if c.err != nil {
			return nil, c.err
		}
		if c.found {
			values[key] = c.value
		}
	}
	return values, nil
}

// join finds each key's place, or makes one.
func (l *Loader[K, V]) join(keys []K, current bool, span trace.Span) (map[K]*call[V], error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	calls := make(map[K]*call[V], len(keys))
	var added []K
	for _, key := range keys {
		if c := l.sent[key]; c != nil && !current {
			calls[key] = c
		} else if c := l.waiting[key]; c != nil {
			calls[key] = c
		} else if calls[key] == nil {
			calls[key] = &call[V]{done: make(chan struct{})}
			added = append(added, key)
		}
	}
	if len(added) > 0 && len(l.order)+len(added) > l.cfg.Queue {
		return nil, ErrOverloaded
	}
	for _, key := range added {
		l.waiting[key] = calls[key]
	}
	l.order = append(l.order, added...)
	if span.IsRecording() {
		show(calls, span)
	}
	if len(added) > 0 && l.workers < l.cfg.Workers {
		l.workers++
		l.running.Go(l.work)
	}
	return calls, nil
}

// show links who asks with the fetches that were sent already, and lets those be linked that are not.
func show[K comparable, V any](calls map[K]*call[V], span trace.Span) {
	linked := map[trace.SpanID]bool{}
	for _, c := range calls {
		if id := c.batch.SpanID(); c.batch.IsValid() && !linked[id] {
			linked[id] = true
			span.AddLink(trace.Link{SpanContext: c.batch})
		}
		if len(c.asks) < tracing.MaxLinks {
			c.asks = append(c.asks, span)
		}
	}
}

// start begins the span of a fetch.
func (l *Loader[K, V]) start(ctx context.Context, keys []K) (context.Context, trace.Span) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var asks []trace.Span
	for _, key := range keys {
		for _, span := range l.sent[key].asks {
			if !slices.Contains(asks, span) && len(asks) < tracing.MaxLinks {
				asks = append(asks, span)
			}
		}
	}
	ctx, span := tracing.Batch(ctx, l.cfg.Span, "asks", asks, func(span trace.Span) trace.Span { return span })
	if span.IsRecording() {
		span.SetAttributes(attribute.Int("littlevote.keys", len(keys)))
		for _, key := range keys {
			l.sent[key].batch = span.SpanContext()
		}
	}
	return ctx, span
}

// work fetches until nothing waits that may be sent.
func (l *Loader[K, V]) work() {
	for {
		keys := l.take()
		if len(keys) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), l.cfg.Timeout)
		ctx, span := l.start(ctx, keys)
		values, err := l.fetch(ctx, keys)
		tracing.End(span, err)
		cancel()
		l.settle(keys, values, err)
	}
}

// take chooses what the next fetch asks for: no key that is being fetched, since its call is one for later. Whoever
// fetches it will take it after that, so a worker that finds nothing may end.
func (l *Loader[K, V]) take() []K {
	l.mu.Lock()
	defer l.mu.Unlock()
	var keys, left []K
	for _, key := range l.order {
		if len(keys) == l.cfg.Batch || l.sent[key] != nil {
			left = append(left, key)
			continue
		}
		keys = append(keys, key)
		l.sent[key] = l.waiting[key]
		delete(l.waiting, key)
	}
	l.order = left
	if len(keys) == 0 {
		l.workers--
	}
	return keys
}

func (l *Loader[K, V]) settle(keys []K, values map[K]V, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range keys {
		c := l.sent[key]
		delete(l.sent, key)
		c.value, c.found = values[key]
		c.err = err
		close(c.done)
	}
}

// Waiting is how many keys wait.
func (l *Loader[K, V]) Waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.order)
}

// Close waits for the fetches that have begun. Nothing may be asked for any more.
func (l *Loader[K, V]) Close() { l.running.Wait() }
