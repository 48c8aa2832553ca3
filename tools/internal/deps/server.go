package deps

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// client is the purpose of the port that a server's users connect to.
const client = "client"

// readyPoll is the pause between two questions whether a server answers.
const readyPoll = 50 * time.Millisecond

// server is one kind of server in a site.
type server interface {
	// ports are the purposes for which the server listens.
	ports() []string
	// command prepares the server's data where that is still to do, and makes the command that runs it.
	command(ctx context.Context) (*exec.Cmd, error)
	// ready is nil when the server answers its users.
	ready(ctx context.Context) error
	// address is where users connect.
	address() (string, error)
	// stopSignal asks for a clean and quick end.
	stopSignal() syscall.Signal
}

func (s *site) server(name string) server {
	switch name {
	case Redis:
		return redisServer{s, name}
	case Kafka:
		return kafkaServer{s, name}
	case Postgres:
		return postgresServer{s}
	case PostgresReplica:
		return replicaServer{s}
	case Etcd:
		return etcdServer{s}
	}
	switch {
	case strings.HasPrefix(name, RedisCluster):
		return redisServer{s, name}
	case strings.HasPrefix(name, KafkaCluster):
		return kafkaServer{s, name}
	}
	return sentinelServer{s, name}
}

// start starts a server unless it runs, and waits until it answers.
func (s *site) start(ctx context.Context, name string) error {
	switch name {
	case PostgresReplica:
		return s.startReplica(ctx)
	case RedisCluster:
		return s.startCluster(ctx)
	case RedisSentinel:
		return s.startSentinels(ctx)
	case KafkaCluster:
		return s.startKafkaCluster(ctx)
	}
	return s.startOnce(ctx, name, readyTimeout)
}

func (s *site) startOnce(ctx context.Context, name string, timeout time.Duration) error {
	server := s.server(name)
	if p := s.state.process(name); p != nil {
		s.say("%s runs already, process %d", name, p.PID)
		return s.waitReady(ctx, name, server, nil, timeout)
	}
	began := time.Now()
	if err := s.choosePorts(ctx, name, server.ports()); err != nil {
		return err
	}
	if err := os.MkdirAll(s.home(name), 0o755); err != nil {
		return err
	}
	cmd, err := server.command(ctx)
	if err != nil {
		return fmt.Errorf("prepare %s: %w", name, err)
	}
	log, err := s.openLog(name)
	if err != nil {
		return err
	}
	// The server has its own copy by then.
	defer func() { _ = log.Close() }()
	cmd.Stdout, cmd.Stderr = log, log
	process, ended, err := startDetached(cmd)
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	if err := s.state.setProcess(name, process); err != nil {
		return err
	}
	if err := s.waitReady(ctx, name, server, ended, timeout); err != nil {
		return err
	}
	s.say("%s is ready after %.1f s, process %d", name, time.Since(began).Seconds(), process.PID)
	return nil
}

func (s *site) waitReady(ctx context.Context, name string, server server, ended <-chan struct{}, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ticker := time.NewTicker(readyPoll)
	defer ticker.Stop()
	for {
		err := server.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w\n%s", name, errors.Join(err, ctx.Err()), s.logTail(name))
		case <-ended:
			return fmt.Errorf("%s ended while it started\n%s", name, s.logTail(name))
		case <-ticker.C:
		}
	}
}

// stop stops a server if it runs.
func (s *site) stop(ctx context.Context, name string) error {
	p := s.state.process(name)
	if p == nil {
		return nil
	}
	if err := p.stop(ctx, s.server(name).stopSignal()); err != nil {
		return fmt.Errorf("stop %s: %w", name, err)
	}
	s.say("%s has ended, process %d", name, p.PID)
	return s.state.setProcess(name, nil)
}

// choosePorts gives each purpose a free port: the one of the time before, unless somebody else has it by now.
func (s *site) choosePorts(ctx context.Context, name string, purposes []string) error {
	for _, purpose := range purposes {
		port, err := freePort(ctx, s.state.port(name, purpose))
		if err != nil {
			return fmt.Errorf("find a port for %s: %w", name, err)
		}
		if err := s.state.setPort(name, purpose, port); err != nil {
			return err
		}
	}
	return nil
}

// freePort is the wanted port if it is free, else any free one.
func freePort(ctx context.Context, wanted int) (int, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", wanted))
	if err != nil && wanted != 0 {
		return freePort(ctx, 0)
	}
	if err != nil {
		return 0, err
	}
	addr, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.Join(fmt.Errorf("listener on %s", listener.Addr()), listener.Close())
	}
	return addr.Port, listener.Close()
}

// at is the address of one of the server's ports, as host:port.
func (s *site) at(name, purpose string) string {
	return fmt.Sprintf("127.0.0.1:%d", s.state.port(name, purpose))
}

func (s *site) home(name string) string { return filepath.Join(s.dir, name) }

func (s *site) logPath(name string) string { return filepath.Join(s.home(name), "server.log") }

// openLog opens an empty log and keeps the one before.
func (s *site) openLog(name string) (*os.File, error) {
	path := s.logPath(name)
	if err := os.Rename(path, path+".1"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}

// logTail is the end of a server's log, for an error message.
func (s *site) logTail(name string) string {
	const most = 2000
	text, err := os.ReadFile(s.logPath(name))
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text[max(0, len(text)-most):]))
}
