package deps

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"
)

// RedisSentinel is the name of a master, its replica, and three Sentinels that watch over them.
const RedisSentinel = "redis-sentinel"

// sentinelMaster is what the Sentinels call the master.
const sentinelMaster = "littlevote"

// sentinelData are the names of the two that hold data: the first begins as the master.
func sentinelData() []string { return []string{RedisSentinel + "-data-1", RedisSentinel + "-data-2"} }

// sentinels are the names of the Sentinels.
func sentinels() []string {
	return []string{RedisSentinel + "-1", RedisSentinel + "-2", RedisSentinel + "-3"}
}

// sentinelServer is one of the Sentinels, or of those that they watch over. All of them write their settings anew when
// the master changes, so each has a file of its own.
type sentinelServer struct {
	*site

	name string
}

func (sentinelServer) ports() []string { return []string{client} }

func (r sentinelServer) isData() bool { return strings.HasPrefix(r.name, RedisSentinel+"-data-") }

func (r sentinelServer) command(context.Context) (*exec.Cmd, error) {
	file := filepath.Join(r.home(r.name), "redis.conf")
	if err := r.writeSettings(file); err != nil {
		return nil, err
	}
	if !r.isData() {
		return exec.Command("redis-server", file, "--sentinel"), nil
	}
	return exec.Command("redis-server", file), nil
}

// writeSettings writes the file, unless one is there for these ports: it knows who the master is by now.
func (r sentinelServer) writeSettings(file string) error {
	first := fmt.Sprintf("# of %s\n", r.hosts(append(sentinelData(), r.name)))
	before, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if strings.HasPrefix(string(before), first) {
		return nil
	}
	var b strings.Builder
	b.WriteString(first)
	port, master := r.state.port(r.name, client), r.state.port(sentinelData()[0], client)
	if r.isData() {
		settings := redisSettings(port, r.home(r.name))
		for i := 0; i < len(settings); i += 2 {
			fmt.Fprintf(&b, "%s %q\n", strings.TrimPrefix(settings[i], "--"), settings[i+1])
		}
		if r.name != sentinelData()[0] {
			fmt.Fprintf(&b, "replicaof 127.0.0.1 %d\n", master)
		}
	} else {
		fmt.Fprintf(&b, "bind 127.0.0.1\nport %d\ndir %q\n", port, r.home(r.name))
		fmt.Fprintf(&b, "sentinel monitor %s 127.0.0.1 %d 2\n", sentinelMaster, master)
		fmt.Fprintf(&b, "sentinel down-after-milliseconds %s 2000\n", sentinelMaster)
		fmt.Fprintf(&b, "sentinel failover-timeout %s 5000\n", sentinelMaster)
	}
	return os.WriteFile(file, []byte(b.String()), 0o600)
}

func (r sentinelServer) ready(ctx context.Context) error { return ping(ctx, r.at(r.name, client)) }

func (r sentinelServer) address() (string, error) { return r.at(r.name, client), nil }

func (sentinelServer) stopSignal() syscall.Signal { return syscall.SIGTERM }

// startSentinels starts the master first, then its replica, then who watches over them.
func (s *site) startSentinels(ctx context.Context) error {
	for _, name := range sentinelData() {
		// Each needs to know where the other is.
		if s.state.process(name) == nil {
			if err := s.choosePorts(ctx, name, []string{client}); err != nil {
				return err
			}
		}
	}
	for _, name := range sentinelData() {
		if err := s.startOnce(ctx, name, readyTimeout); err != nil {
			return err
		}
	}
	group, starting := errgroup.WithContext(ctx)
	for _, name := range sentinels() {
		group.Go(func() error { return s.startOnce(starting, name, readyTimeout) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := s.settled(ctx, RedisSentinel, s.sentinelsReady); err != nil {
		return err
	}
	s.say("%s is ready", RedisSentinel)
	return nil
}

// sentinelsReady is nil when the replica follows its master, and every Sentinel knows of it and of its fellows.
func (s *site) sentinelsReady(ctx context.Context) error {
	for _, name := range sentinelData() {
		c := redisAt(s.at(name, client))
		if err := errors.Join(follows(ctx, c), c.Close()); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, name := range sentinels() {
		c := redis.NewSentinelClient(&redis.Options{Addr: s.at(name, client), MaxRetries: -1})
		fields, err := c.Master(ctx, sentinelMaster).Result()
		if err = errors.Join(err, c.Close()); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if fields["flags"] != "master" || fields["num-slaves"] != "1" || fields["num-other-sentinels"] != "2" {
			return fmt.Errorf("%s: the master is %s, with %s replicas and %s more Sentinels", name, fields["flags"],
				fields["num-slaves"], fields["num-other-sentinels"])
		}
	}
	return nil
}

// sentinelURL names the Sentinels, and the master as they call it.
func (s *site) sentinelURL() string {
	return "redis+sentinel://" + s.hosts(sentinels()) + "/" + sentinelMaster
}
