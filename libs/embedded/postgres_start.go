package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/littlevote/littlevote/libs/embedded/pgcluster"
)

// postgresPoll is the pause between two looks at whether a server is ready.
const postgresPoll = 10 * time.Millisecond

// errRetry says that another attempt to start the server may succeed.
var errRetry = errors.New("not yet")

func (p *PostgresServer) start(ctx context.Context, o options) error {
	if err := p.home.StopLeftover(ctx); err != nil {
		return err
	}
	programs, err := p.programs(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := p.home.Init(ctx, programs, !o.throwaway); err != nil {
		return err
	}
	if err := p.launch(ctx, programs, o); err != nil {
		return err
	}
	if p.url, err = p.home.URL(p.port); err != nil {
		return err
	}
	if err := p.home.CreateDatabase(ctx, p.port); err != nil {
		return err
	}
	p.log.InfoContext(ctx, "Postgres is ready", slog.Int("version", programs.Major), slog.Int("port", p.port),
		slog.String("dir", p.home.Dir), slog.Duration("took", time.Since(began)))
	return nil
}

// programs finds an installed server that will do, or else downloads one.
func (p *PostgresServer) programs(ctx context.Context) (pgcluster.Programs, error) {
	programs, err := p.home.Choose(pgcluster.Installed(ctx))
	if !errors.Is(err, pgcluster.ErrNotInstalled) {
		return programs, err
	}
	downloaded, fetchErr := pgcluster.Fetch(ctx, p.log)
	if fetchErr != nil {
		return pgcluster.Programs{}, fmt.Errorf("%w, and none can be downloaded: %w", err, fetchErr)
	}
	return p.home.Choose([]pgcluster.Programs{downloaded})
}

// launch starts the server, and again if what kept it from starting is about to pass.
func (p *PostgresServer) launch(ctx context.Context, programs pgcluster.Programs, o options) error {
	for {
		err := p.launchOnce(ctx, programs, o)
		if !errors.Is(err, errRetry) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(10 * postgresPoll):
		}
	}
}

func (p *PostgresServer) launchOnce(ctx context.Context, programs pgcluster.Programs, o options) error {
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	log, err := p.home.OpenLog()
	if err != nil {
		return err
	}
	// The server has its own copy by then.
	defer func() { _ = log.Close() }()
	cmd := p.home.Server(programs, port, serverSettings(o)...)
	cmd.Stdout, cmd.Stderr = log, log
	p.port, p.orphaned = port, syscall.SIGINT // A fast shutdown: the next start need not recover.
	if o.throwaway {
		p.orphaned = syscall.SIGQUIT // An immediate one: nobody will start on this data.
	}
	p.server, err = startChild(cmd, p.orphaned)
	if err != nil {
		return err
	}
	return p.waitReady(ctx)
}

func serverSettings(o options) []string {
	settings := []string{"max_connections=200"}
	if o.throwaway {
		settings = append(settings, "fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=32MB")
	}
	return settings
}

func (p *PostgresServer) waitReady(ctx context.Context) error {
	ticker := time.NewTicker(postgresPoll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until it is ready: %w\n%s", ctx.Err(), p.home.LogTail())
		case <-p.server.done:
			return p.explain()
		case <-ticker.C:
		}
		ready, err := p.home.Ready(p.server.pid())
		if ready || err != nil {
			return err
		}
	}
}

// explain tells why the server ended while it started. Two reasons pass by themselves: somebody took the port first,
// or a server on this data was killed and its last process is about to notice.
func (p *PostgresServer) explain() error {
	tail := p.home.LogTail()
	err := fmt.Errorf("it ended: %w\n%s", p.server.err, tail)
	if strings.Contains(tail, "Address already in use") || strings.Contains(tail, "is still in use") {
		return fmt.Errorf("%w: %w", errRetry, err)
	}
	return err
}

func freePort(ctx context.Context) (int, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	addr, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.Join(fmt.Errorf("listener on %s", listener.Addr()), listener.Close())
	}
	return addr.Port, listener.Close()
}
