package deps

import (
	"context"
	"errors"
	"os/exec"
	"strconv"
	"syscall"

	"github.com/redis/go-redis/v9"
)

type redisServer struct{ *site }

func (redisServer) ports() []string { return []string{client} }

// command sets what the design asks of a real Redis: an append-only file flushed every second, and no eviction.
func (r redisServer) command(context.Context) (*exec.Cmd, error) {
	return exec.Command("redis-server",
		"--bind", "127.0.0.1", "--port", strconv.Itoa(r.state.port(Redis, client)), "--dir", r.home(Redis),
		"--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--maxmemory-policy", "noeviction",
		"--daemonize", "no"), nil
}

func (r redisServer) ready(ctx context.Context) error {
	c := redis.NewClient(&redis.Options{Addr: r.at(Redis, client), MaxRetries: -1})
	return errors.Join(c.Ping(ctx).Err(), c.Close())
}

func (r redisServer) address() (string, error) { return "redis://" + r.at(Redis, client), nil }

func (redisServer) stopSignal() syscall.Signal { return syscall.SIGTERM }
