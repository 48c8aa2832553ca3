package cache

import (
	"context"
	"fmt"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// The levels that answer.
const (
	levelLocal    = "local"
	levelShared   = "redis"
	levelDatabase = "postgres"
	levelStale    = "stale"
)

// Metrics are the figures of all caches of a process.
type Metrics struct {
	reads metric.Int64Counter

	mu    sync.Mutex
	kinds []watched
}

// watched is a kind's cache.
type watched struct {
	kind    string
	size    func() int
	waiting func() int
}

// NewMetrics makes the instruments; hot tells how many keys are hot.
func NewMetrics(meter metric.Meter, hot *Hot) (*Metrics, error) {
	m := &Metrics{}
	var err error
	if m.reads, err = meter.Int64Counter("littlevote.blog.cache.reads", metric.WithUnit("{read}"),
		metric.WithDescription("Posts and users that were read, by the level that had them: local, redis, postgres, or stale where Postgres was away.")); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	size, err := meter.Int64ObservableGauge("littlevote.blog.cache.local.size", metric.WithUnit("{entry}"),
		metric.WithDescription("Hot posts and users that this process keeps."))
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	waiting, err := meter.Int64ObservableGauge("littlevote.blog.cache.queue.length", metric.WithUnit("{key}"),
		metric.WithDescription("Posts and users that wait for a fetch from Postgres."))
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	keys, err := meter.Int64ObservableGauge("littlevote.blog.hot.keys", metric.WithUnit("{key}"),
		metric.WithDescription("Keys that are hot by this process's own count."))
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveInt64(keys, int64(len(hot.Top())))
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, w := range m.kinds {
			kind := metric.WithAttributes(attribute.String("kind", w.kind))
			o.ObserveInt64(size, int64(w.size()), kind)
			o.ObserveInt64(waiting, int64(w.waiting()), kind)
		}
		return nil
	}, size, waiting, keys)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return m, nil
}

func (m *Metrics) watch(kind string, size, waiting func() int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kinds = append(m.kinds, watched{kind: kind, size: size, waiting: waiting})
}

func (m *Metrics) read(ctx context.Context, kind, level string, n int) {
	if n > 0 {
		m.reads.Add(ctx, int64(n), metric.WithAttributes(attribute.String("kind", kind), attribute.String("level", level)))
	}
}
