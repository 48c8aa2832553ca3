package servers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/littlevote/littlevote/tools/internal/process"
	"github.com/littlevote/littlevote/tools/internal/scope"
)

// redisTimeout bounds every command of a fault.
const redisTimeout = 10 * time.Second

// Redis is a redis-server of one run, which keeps its address when it is started again.
type Redis struct {
	*process.Process

	Address string
	name    string
	dir     string // logs
	data    string
	args    []string
}

// StartRedis starts one: with an append-only file, without eviction, as the design asks. Its log goes to dir.
func StartRedis(t scope.Scope, dir, name string, args ...string) *Redis {
	t.Helper()
	r := &Redis{Address: process.Address(t), name: name, dir: dir, data: DataDir(dir, name), args: args}
	if err := os.MkdirAll(r.data, 0o755); err != nil {
		t.Fatal(err)
	}
	r.Start(t)
	return r
}

// DataDir is where the Redis of a name keeps its data.
func DataDir(dir, name string) string { return filepath.Join(dir, name) }

// Start starts it, or starts it again on the data that it has.
func (r *Redis) Start(t scope.Scope) {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(r.Address, ":")
	r.Process = process.Start(t, process.Command{
		Name: r.name, Program: program, Dir: r.dir,
		Args: append([]string{
			"--bind", "127.0.0.1", "--port", port, "--dir", r.data, "--appendonly", "yes", "--appendfsync", "everysec", "--save", "",
			"--maxmemory-policy", "noeviction", "--enable-debug-command", "yes", "--repl-diskless-sync-delay", "0",
		}, r.args...),
	})
	scope.Eventually(t, redisTimeout, func() error { return r.try(t.Context(), "PING") })
}

// Forget makes the next start an empty one.
func (r *Redis) Forget(t scope.Scope) {
	t.Helper()
	if err := os.RemoveAll(r.data); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(r.data, 0o755); err != nil {
		t.Fatal(err)
	}
}

// URL is its address as a setting has it.
func (r *Redis) URL() string { return "redis://" + r.Address }

// Do sends it a command.
func (r *Redis) Do(t scope.Scope, args ...any) {
	t.Helper()
	if err := r.try(t.Context(), args...); err != nil {
		t.Fatalf("redis: %v: %v", args, err)
	}
}

func (r *Redis) try(ctx context.Context, args ...any) error {
	return r.With(ctx, func(ctx context.Context, rdb *redis.Client) error { return rdb.Do(ctx, args...).Err() })
}

// With gives a client for a moment.
func (r *Redis) With(ctx context.Context, use func(context.Context, *redis.Client) error) error {
	rdb := redis.NewClient(&redis.Options{Addr: r.Address, MaxRetries: -1, ReadTimeout: redisTimeout})
	defer rdb.Close()
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	return use(ctx, rdb)
}

// Follow makes it a replica of another, by way of an address that may be a proxy's, and waits until it has everything.
func (r *Redis) Follow(t scope.Scope, address string) {
	t.Helper()
	host, port, _ := strings.Cut(address, ":")
	r.Do(t, "REPLICAOF", host, port)
	scope.Eventually(t, redisTimeout, func() error {
		return r.With(t.Context(), func(ctx context.Context, rdb *redis.Client) error {
			info, err := rdb.Info(ctx, "replication").Result()
			if err == nil && !strings.Contains(info, "master_link_status:up") {
				err = fmt.Errorf("the replica on %s has not followed yet", r.Address)
			}
			return err
		})
	})
}

// Promote makes a replica a master.
func (r *Redis) Promote(t scope.Scope) {
	t.Helper()
	r.Do(t, "REPLICAOF", "NO", "ONE")
}

// Freeze stops it in whatever it does.
func (r *Redis) Freeze(t scope.Scope) {
	t.Helper()
	if err := r.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Signal(syscall.SIGCONT) }) // before the scope asks it to stop
}

// Thaw lets it go on.
func (r *Redis) Thaw(t scope.Scope) {
	t.Helper()
	if err := r.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// Port is the port of an address.
func Port(address string) int {
	_, port, _ := strings.Cut(address, ":")
	n, _ := strconv.Atoi(port) // 0 says that there is none
	return n
}
