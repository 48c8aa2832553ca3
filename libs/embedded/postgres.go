package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"github.com/littlevote/littlevote/libs/embedded/filelock"
	"github.com/littlevote/littlevote/libs/embedded/pgcluster"
)

// postgresStart bounds the start of a server, recovery after a crash included.
const postgresStart = 2 * time.Minute

// PostgresServer is a Postgres server of this process.
type PostgresServer struct {
	home     pgcluster.Home
	lock     *filelock.Lock
	log      *slog.Logger
	orphaned syscall.Signal // what the server gets when this process dies
	server   *child
	port     int
	url      string
	once     sync.Once
	err      error
}

// Postgres starts a server on what dataDir holds; at the first start it makes a cluster there. It ends with Close, not
// with ctx, which bounds the start only. The programs are an installed server's, else downloaded once per user.
func Postgres(ctx context.Context, dataDir string, opts ...Option) (*PostgresServer, error) {
	ctx, cancel := context.WithTimeout(ctx, postgresStart)
	defer cancel()
	o := collect(opts)
	home, err := pgcluster.OpenHome(dataDir)
	if err != nil {
		return nil, fmt.Errorf("open Postgres's data directory: %w", err)
	}
	lock, err := filelock.Acquire(home.LockPath())
	if err != nil {
		return nil, fmt.Errorf("open Postgres's data: %w", err)
	}
	p := &PostgresServer{home: home, lock: lock, log: o.log}
	if err := p.start(ctx, o); err != nil {
		return nil, errors.Join(fmt.Errorf("start Postgres in %s: %w", home.Dir, err), p.Close())
	}
	return p, nil
}

// URL is where clients connect: an empty database at the first start, as a superuser.
func (p *PostgresServer) URL() string { return p.url }

// Done is closed when the server has ended, by Close or by itself.
func (p *PostgresServer) Done() <-chan struct{} { return p.server.done }

// PID is the server's process id.
func (p *PostgresServer) PID() int { return p.server.pid() }

// Close stops the server: clients are cut off, open transactions rolled back, committed ones kept.
func (p *PostgresServer) Close() error {
	p.once.Do(func() {
		if p.server != nil {
			p.err = p.server.stop(p.orphaned)
		}
		p.err = errors.Join(p.err, p.lock.Release())
	})
	return p.err
}
