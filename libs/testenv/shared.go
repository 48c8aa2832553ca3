package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"github.com/littlevote/littlevote/libs/embedded"
)

// One server of each kind for all tests of a process: the only state of the package, since a test has nothing else in
// common with the next.
//
//nolint:gochecknoglobals // See above.
var (
	sharedPostgres = sync.OnceValues(func() (shared[*embedded.PostgresServer], error) {
		return startShared(embedded.Postgres)
	})
	sharedEtcd = sync.OnceValues(func() (shared[*embedded.EtcdServer], error) {
		return startShared(embedded.Etcd)
	})
)

// shared is a server that lasts as long as the process.
type shared[S any] struct {
	server S
	alive  *os.File // open until the process ends; never closed, and kept here so that the garbage collector does not
}

func startShared[S any](start func(context.Context, string, ...embedded.Option) (S, error)) (shared[S], error) {
	dir, err := os.MkdirTemp("", "littlevote-test-")
	if err != nil {
		return shared[S]{}, err
	}
	alive, err := sweepAfter(dir)
	if err != nil {
		return shared[S]{}, errors.Join(fmt.Errorf("watch over %s: %w", dir, err), os.RemoveAll(dir))
	}
	// Postgres's own account has to pass through it.
	if err := os.Chmod(dir, 0o755); err != nil {
		return shared[S]{}, errors.Join(err, alive.Close())
	}
	server, err := start(context.Background(), dir, embedded.Throwaway())
	if err != nil {
		return shared[S]{}, errors.Join(err, alive.Close())
	}
	return shared[S]{server: server, alive: alive}, nil
}

// sweeper waits for the end of its input, which comes when the test process ends in whatever way. Then it stops what
// may still run on the data (where the kernel does not do it), gives it 10 s to end, and removes the data.
const sweeper = `
cat >/dev/null
pidfile=$1/cluster/postmaster.pid
if [ -e "$pidfile" ]; then kill -QUIT "$(head -n 1 "$pidfile")"; fi
for _ in 1 2 3 4 5 6 7 8 9 10; do
	if [ ! -e "$pidfile" ] && rm -rf -- "$1"; then exit; fi
	sleep 1
done
rm -rf -- "$1"
`

// sweepAfter removes dir when the returned file is closed, at the latest when this process has ended. Nothing in the
// process can do that: a test binary has no last moment, and it may be killed.
func sweepAfter(dir string) (*os.File, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("/bin/sh", "-c", sweeper, "sweeper", dir)
	cmd.Stdin = read
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := errors.Join(cmd.Start(), read.Close()); err != nil {
		return nil, errors.Join(err, write.Close())
	}
	return write, nil
}
