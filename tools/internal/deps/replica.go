package deps

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/littlevote/littlevote/libs/embedded/pgcluster"
)

// catchUpTimeout is how long an existing copy gets until it follows the primary.
const catchUpTimeout = 20 * time.Second

type replicaServer struct{ *site }

func (replicaServer) ports() []string { return []string{client} }

// startReplica starts the replica on the copy that it has, and if it can't follow the primary from there, on a fresh
// one: the primary may be a new one, or may no longer have what the replica missed.
func (s *site) startReplica(ctx context.Context) error {
	home, err := pgcluster.OpenHome(s.home(PostgresReplica))
	if err != nil {
		return err
	}
	if gone, err := promoted(home); err != nil || gone {
		s.say("%s was promoted, so it is made anew", PostgresReplica)
		if err := errors.Join(err, s.stop(ctx, PostgresReplica), os.RemoveAll(home.Cluster())); err != nil {
			return err
		}
	}
	if _, err := os.Stat(home.Cluster()); err == nil {
		err := s.startOnce(ctx, PostgresReplica, catchUpTimeout)
		if err == nil || ctx.Err() != nil {
			return err
		}
		s.say("%s can't follow its primary from where it is, so it is made anew", PostgresReplica)
		if err := s.stop(ctx, PostgresReplica); err != nil {
			return err
		}
		if err := os.RemoveAll(home.Cluster()); err != nil {
			return err
		}
	}
	return s.startOnce(ctx, PostgresReplica, readyTimeout)
}

func (r replicaServer) command(ctx context.Context) (*exec.Cmd, error) {
	home, err := pgcluster.OpenHome(r.home(PostgresReplica))
	if err != nil {
		return nil, err
	}
	if err := home.StopLeftover(ctx); err != nil {
		return nil, err
	}
	programs, err := home.Choose(fullInstallations(ctx))
	if err != nil {
		return nil, err
	}
	if !r.follows(home) {
		if err := r.copyPrimary(ctx, home, programs); err != nil {
			return nil, err
		}
	}
	// Whatever the primary waits for, this one has nobody to wait for, not even once it is promoted.
	settings := append(postgresSettings(), "synchronous_standby_names=")
	return home.Server(programs, r.state.port(PostgresReplica, client), settings...), nil
}

// promoted says whether the copy has become a primary of its own. Then its log has parted from that of the first primary.
func promoted(home pgcluster.Home) (bool, error) {
	if _, err := os.Stat(home.Cluster()); err != nil {
		return false, nil //nolint:nilerr // There is no copy.
	}
	// Postgres removes the file when it is promoted.
	_, err := os.Stat(filepath.Join(home.Cluster(), "standby.signal"))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return false, err
}

// follows says whether the replica has a copy that looks for its primary at the right port.
func (r replicaServer) follows(home pgcluster.Home) bool {
	text, err := os.ReadFile(filepath.Join(home.Cluster(), "postgresql.auto.conf"))
	return err == nil && strings.Contains(string(text), fmt.Sprintf("port=%d ", r.state.port(Postgres, client)))
}

// copyPrimary makes the replica's cluster from the running primary.
func (r replicaServer) copyPrimary(ctx context.Context, home pgcluster.Home, programs pgcluster.Programs) error {
	primary, err := pgcluster.OpenHome(r.home(Postgres))
	if err != nil {
		return err
	}
	password, err := primary.Password()
	if err != nil {
		return err
	}
	making, err := home.MakeRoom("cluster.new")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, programs.Path("pg_basebackup"),
		"--host=127.0.0.1", "--port="+strconv.Itoa(r.state.port(Postgres, client)), "--username="+pgcluster.Role, "--no-password",
		"--pgdata="+making, "--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast")
	home.Account.Adopt(cmd, home.Dir)
	cmd.Env = append(cmd.Env, "PGPASSWORD="+password)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("copy the primary: %w\n%s", err, out)
	}
	if err := os.RemoveAll(home.Cluster()); err != nil {
		return err
	}
	return os.Rename(making, home.Cluster())
}

func (r replicaServer) ready(ctx context.Context) error {
	url, err := r.address()
	if err != nil {
		return err
	}
	status, err := query(ctx, url, "SELECT coalesce((SELECT status FROM pg_stat_wal_receiver), 'none')")
	if err == nil && status != "streaming" {
		err = fmt.Errorf("it does not follow its primary: %s", status)
	}
	return err
}

func (r replicaServer) address() (string, error) { return r.postgresURL(PostgresReplica) }

func (replicaServer) stopSignal() syscall.Signal { return syscall.SIGINT }
