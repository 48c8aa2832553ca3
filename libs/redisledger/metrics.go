package redisledger

import (
	"context"
	"errors"
	"net"
	"os"
	"time"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/metric"

	"github.com/littlevote/littlevote/libs/measure"
)

// Measure publishes how long the calls of a client take and its connections, under a name that no other pool of the process has.
// What goes as a pipeline is one call, by the name of what stands first in it.
func Measure(rdb redis.UniversalClient, meter metric.Meter, pool string) error {
	calls, err := measure.NewCalls(meter, measure.Redis)
	if err != nil {
		return err
	}
	rdb.AddHook(timing{calls})
	return measure.Pool(meter, pool, func() measure.Connections {
		now := rdb.PoolStats()
		return measure.Connections{Idle: int64(now.IdleConns), Used: int64(now.TotalConns) - int64(now.IdleConns), Max: int64(most(rdb))}
	})
}

// most is how many connections the pool of a client may have; a cluster's has as many for each node.
func most(rdb redis.UniversalClient) int {
	switch client := rdb.(type) {
	case *redis.ClusterClient:
		return client.Options().PoolSize
	case *redis.Client:
		return client.Options().PoolSize
	default:
		return 0
	}
}

// timing is a hook of the client library.
type timing struct{ calls *measure.Calls }

// DialHook is part of redis.Hook.
func (timing) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook is part of redis.Hook.
func (t timing) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		began := time.Now()
		err := next(ctx, cmd)
		t.calls.Record(ctx, operation(cmd), failure(err), time.Since(began))
		return err
	}
}

// ProcessPipelineHook is part of redis.Hook.
func (t timing) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		began := time.Now()
		err := next(ctx, cmds)
		t.calls.Record(ctx, operation(cmds[0]), failure(err), time.Since(began))
		return err
	}
}

// operation is the name of a script of ours, or of a command that we send.
func operation(cmd redis.Cmder) string {
	switch name := cmd.Name(); name {
	case "evalsha", "eval":
		if args := cmd.Args(); len(args) > 1 {
			if script, ok := scriptNames[args[1]]; ok {
				return script
			}
		}
		return "script"
	case "multi": // what begins a transaction
		return "transaction"
	default:
		return name
	}
}

// scriptNames are the scripts by hash and by text.
var scriptNames = func() map[any]string {
	names := map[any]string{}
	for name, s := range map[string]*script{
		"admit": admitScript, "begin": beginScript, "counts": countsScript, "finish": finishScript, "rules": rulesScript,
		"cut": cutScript, "key": keyScript, "known": knownScript, "settle": settleScript, "claim": claimScript,
		"remember": rememberScript, "refund": refundScript, "seal": sealScript, "due": dueScript, "read": readScript,
		"voter": voterScript, "cold": coldScript, "evict": evictScript, "hot": hotScript, "recount": recountScript,
		"ticket": ticketScript, "mint": mintScript,
	} {
		names[s.Hash()], names[s.source] = name, name
	}
	return names
}()

// failure is the kind of an error: that there is no such key, or not this epoch's ledger, is an answer.
func failure(err error) string {
	var (
		answered redis.Error
		network  *net.OpError
	)
	switch {
	case err == nil, errors.Is(err, redis.Nil), redis.HasErrorPrefix(err, "NOSCRIPT"):
		return ""
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, redis.ErrPoolTimeout):
		return "timeout"
	case errors.As(err, &answered):
		return "refused"
	case errors.As(err, &network):
		return "network"
	default:
		return "other"
	}
}
