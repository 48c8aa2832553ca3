package deps

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"syscall"

	"github.com/jackc/pgx/v5"

	"github.com/littlevote/littlevote/libs/embedded/pgcluster"
)

// postgresSettings leave room for every service at its full pool, and keep the log of changes long enough for a replica
// that was away for a while.
func postgresSettings() []string { return []string{"max_connections=300", "wal_keep_size=512MB"} }

type postgresServer struct{ *site }

func (postgresServer) ports() []string { return []string{client} }

func (p postgresServer) command(ctx context.Context) (*exec.Cmd, error) {
	home, err := pgcluster.OpenHome(p.home(Postgres))
	if err != nil {
		return nil, err
	}
	programs, err := home.Choose(fullInstallations(ctx))
	if err != nil {
		return nil, err
	}
	if err := errors.Join(home.StopLeftover(ctx), home.Init(ctx, programs, true)); err != nil {
		return nil, err
	}
	return home.Server(programs, p.state.port(Postgres, client), postgresSettings()...), nil
}

// ready makes the database as well, so that the address is of use.
func (p postgresServer) ready(ctx context.Context) error {
	home, err := pgcluster.OpenHome(p.home(Postgres))
	if err != nil {
		return err
	}
	return home.CreateDatabase(ctx, p.state.port(Postgres, client))
}

func (p postgresServer) address() (string, error) { return p.postgresURL(Postgres) }

// stopSignal is that of a fast shutdown: clients are cut off.
func (postgresServer) stopSignal() syscall.Signal { return syscall.SIGINT }

// postgresURL is the address of the primary or of the replica; the password is the primary's for both.
func (s *site) postgresURL(name string) (string, error) {
	home, err := pgcluster.OpenHome(s.home(Postgres))
	if err != nil {
		return "", err
	}
	return home.URL(s.state.port(name, client))
}

// fullInstallations are those that can copy a primary; the ones that are downloaded can't.
func fullInstallations(ctx context.Context) []pgcluster.Programs {
	var full []pgcluster.Programs
	for _, programs := range pgcluster.Installed(ctx) {
		if _, err := os.Stat(programs.Path("pg_basebackup")); err == nil {
			full = append(full, programs)
		}
	}
	return full
}

// query reads one text from a server.
func query(ctx context.Context, url, statement string) (string, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return "", err
	}
	var text string
	err = conn.QueryRow(ctx, statement).Scan(&text)
	return text, errors.Join(err, conn.Close(ctx))
}
