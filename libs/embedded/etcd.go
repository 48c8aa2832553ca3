package embedded

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/littlevote/littlevote/libs/embedded/filelock"
)

const (
	etcdPoll  = 20 * time.Millisecond
	etcdStart = 30 * time.Second
)

// EtcdServer is an installed etcd that runs as a child of this process.
type EtcdServer struct {
	server   *child
	lock     *filelock.Lock
	endpoint string
	once     sync.Once
	err      error
}

// Etcd starts the etcd that is installed on this machine, on what dataDir holds. It ends with Close, not with ctx,
// which bounds the start only.
func Etcd(ctx context.Context, dataDir string, opts ...Option) (*EtcdServer, error) {
	ctx, cancel := context.WithTimeout(ctx, etcdStart)
	defer cancel()
	program, err := exec.LookPath("etcd")
	if err != nil {
		return nil, fmt.Errorf("find etcd (Debian's package is etcd-server): %w", err)
	}
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return nil, fmt.Errorf("make etcd's data directory: %w", err)
	}
	lock, err := filelock.Acquire(filepath.Join(dataDir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("open etcd's data: %w", err)
	}
	e := &EtcdServer{lock: lock}
	if err := e.start(ctx, program, dataDir, collect(opts)); err != nil {
		return nil, errors.Join(fmt.Errorf("start etcd: %w", err), e.Close())
	}
	return e, nil
}

// Endpoints are the addresses that clients begin with, as http://127.0.0.1:port.
func (e *EtcdServer) Endpoints() []string { return []string{e.endpoint} }

// Close stops the server.
func (e *EtcdServer) Close() error {
	e.once.Do(func() {
		if e.server != nil {
			e.err = e.server.stop(syscall.SIGTERM)
		}
		e.err = errors.Join(e.err, e.lock.Release())
	})
	return e.err
}

func (e *EtcdServer) start(ctx context.Context, program, dataDir string, o options) error {
	client, err := freePort(ctx)
	if err != nil {
		return err
	}
	peer, err := freePort(ctx)
	if err != nil {
		return err
	}
	e.endpoint = fmt.Sprintf("http://127.0.0.1:%d", client)
	peerURL := fmt.Sprintf("http://127.0.0.1:%d", peer)
	args := []string{
		"--name=littlevote", "--data-dir=" + filepath.Join(dataDir, "etcd"),
		"--listen-client-urls=" + e.endpoint, "--advertise-client-urls=" + e.endpoint,
		"--listen-peer-urls=" + peerURL, "--initial-advertise-peer-urls=" + peerURL,
		"--initial-cluster=littlevote=" + peerURL,
	}
	if o.throwaway {
		args = append(args, "--unsafe-no-fsync")
	}
	log, err := os.OpenFile(filepath.Join(dataDir, "etcd.log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	// The server has its own copy by then.
	defer func() { _ = log.Close() }()
	cmd := exec.Command(program, args...)
	// Without ETCD_ variables of ours, which would be settings as well. Debian's etcd wants to be told that its
	// processor is untried.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "ETCD_UNSUPPORTED_ARCH=" + runtime.GOARCH}
	cmd.Stdout, cmd.Stderr = log, log
	if e.server, err = startChild(cmd, syscall.SIGTERM); err != nil {
		return err
	}
	return e.waitReady(ctx, log.Name())
}

func (e *EtcdServer) waitReady(ctx context.Context, log string) error {
	ticker := time.NewTicker(etcdPoll)
	defer ticker.Stop()
	for !e.healthy(ctx) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until it is ready (its log is %s): %w", log, ctx.Err())
		case <-e.server.done:
			return fmt.Errorf("it ended (its log is %s): %w", log, e.server.err)
		case <-ticker.C:
		}
	}
	return nil
}

func (e *EtcdServer) healthy(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, e.endpoint+"/health", nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	return response.Body.Close() == nil && response.StatusCode == http.StatusOK
}
