package likes

import (
	"context"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// trips counts what goes to Redis, and holds it up.
type trips struct {
	pipelines, commands atomic.Int64
	release             chan struct{}
}

func (h *trips) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *trips) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (h *trips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		h.pipelines.Add(1)
		h.commands.Add(int64(len(cmds)))
		<-h.release
		return next(ctx, cmds)
	}
}
