package deps

import (
	"context"
	"errors"
	"os/exec"
	"slices"
	"strconv"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// redisServer is one Redis by itself, or one of a cluster.
type redisServer struct {
	*site

	name string
}

// bus is the purpose of the port on which the nodes of a cluster talk to each other.
const bus = "bus"

func (r redisServer) ports() []string {
	if r.name == Redis {
		return []string{client}
	}
	return []string{client, bus}
}

// redisSettings are what the design asks of a real Redis: an append-only file flushed every second, and no eviction.
func redisSettings(port int, home string) []string {
	return []string{
		"--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", home,
		"--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--maxmemory-policy", "noeviction",
		"--repl-diskless-sync-delay", "0", "--daemonize", "no",
	}
}

func (r redisServer) command(context.Context) (*exec.Cmd, error) {
	args := redisSettings(r.state.port(r.name, client), r.home(r.name))
	if r.name != Redis {
		// The timeout is short, so that a failover takes seconds.
		args = slices.Concat(args, []string{
			"--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "2000",
			"--cluster-port", strconv.Itoa(r.state.port(r.name, bus)),
		})
	}
	return exec.Command("redis-server", args...), nil
}

func (r redisServer) ready(ctx context.Context) error { return ping(ctx, r.at(r.name, client)) }

func ping(ctx context.Context, at string) error {
	c := redisAt(at)
	return errors.Join(c.Ping(ctx).Err(), c.Close())
}

// redisAt is a client of one node, whatever it belongs to.
func redisAt(at string) *redis.Client {
	return redis.NewClient(&redis.Options{Addr: at, MaxRetries: -1})
}

func (r redisServer) address() (string, error) {
	if r.name == Redis {
		return "redis://" + r.at(r.name, client), nil
	}
	return r.at(r.name, client), nil
}

func (redisServer) stopSignal() syscall.Signal { return syscall.SIGTERM }
