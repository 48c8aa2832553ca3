package embedded

import (
	"context"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
)

const (
	// redisTick is how often keys are expired.
	redisTick = 50 * time.Millisecond
	// redisTickShare bounds what expiry costs: it walks all keys under miniredis's one lock, so with many keys it
	// is done less often, at most a twentieth of the time.
	redisTickShare = 20
)

// RedisServer is an embedded Redis.
type RedisServer struct {
	mini    *miniredis.Miniredis
	stop    context.CancelFunc
	stopped chan struct{}
}

// Redis starts an empty Redis. It ends with Close, not with ctx.
func Redis(ctx context.Context, _ ...Option) (*RedisServer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	mini := miniredis.NewMiniRedis()
	if err := mini.StartAddr("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("start the embedded Redis: %w", err)
	}
	clock, stop := context.WithCancel(context.Background())
	r := &RedisServer{mini: mini, stop: stop, stopped: make(chan struct{})}
	go r.runClock(clock)
	return r, nil
}

// URL is where clients connect, without a password: redis://127.0.0.1:port.
func (r *RedisServer) URL() string { return "redis://" + r.mini.Addr() }

// Close stops the server; what it held is gone.
func (r *RedisServer) Close() error {
	r.stop()
	<-r.stopped
	r.mini.Close()
	return nil
}

// runClock makes keys expire as time passes, which miniredis leaves to its caller. Its own ClockTTL is no way out: that
// walks all keys at every command.
func (r *RedisServer) runClock(ctx context.Context) {
	defer close(r.stopped)
	last := time.Now()
	timer := time.NewTimer(redisTick)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		now := time.Now()
		r.mini.FastForward(now.Sub(last))
		last = now
		timer.Reset(max(redisTick, redisTickShare*time.Since(now)))
	}
}
