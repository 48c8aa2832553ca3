package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/littlevote/littlevote/libs/embedded"
	"github.com/littlevote/littlevote/libs/embedded/filelock"
	"github.com/littlevote/littlevote/libs/testenv"
)

// playPostgres is the part of the process that is killed: it reports the server's process id once a vote is committed.
func playPostgres(ctx context.Context, dir string) (string, error) {
	server, err := embedded.Postgres(ctx, dir)
	if err != nil {
		return "", err
	}
	conn, err := pgx.Connect(ctx, server.URL())
	if err != nil {
		return "", err
	}
	if _, err := conn.Exec(ctx, "CREATE TABLE votes (n int); INSERT INTO votes VALUES (42)"); err != nil {
		return "", err
	}
	return fmt.Sprint(server.PID()), nil
}

func startPostgres(t *testing.T, dir string) *embedded.PostgresServer {
	t.Helper()
	server, err := embedded.Postgres(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

func mustHoldTheVote(t *testing.T, server *embedded.PostgresServer) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	var n int
	err = conn.QueryRow(t.Context(), "SELECT n FROM votes").Scan(&n)
	if err := errors.Join(err, conn.Close(t.Context())); err != nil || n != 42 {
		t.Errorf("the committed vote: %d, %v", n, err)
	}
}

func running(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

func TestPostgresDoesNotOutliveItsKilledProcess(t *testing.T) {
	victim := startVictim(t, "postgres", testenv.Dir(t))
	var pid int
	if _, err := fmt.Sscan(victim.report, &pid); err != nil {
		t.Fatal(err)
	}
	victim.kill(t)
	testenv.Eventually(t, 20*time.Second, func() error {
		if running(pid) {
			return errors.New("the server still runs")
		}
		return nil
	})
}

func TestPostgresStartsAtOnceAfterItsProcessWasKilled(t *testing.T) {
	dir := testenv.Dir(t)
	startVictim(t, "postgres", dir).kill(t)
	mustHoldTheVote(t, startPostgres(t, dir))
}

func TestPostgresRecoversFromAKillOfServerAndProcess(t *testing.T) {
	dir := testenv.Dir(t)
	victim := startVictim(t, "postgres", dir)
	var pid int
	if _, err := fmt.Sscan(victim.report, &pid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	victim.kill(t)
	mustHoldTheVote(t, startPostgres(t, dir))
}

// After a kill, the id in postmaster.pid may be that of a process which has nothing to do with Postgres.
func TestPostgresIsNotFooledByAReusedProcessID(t *testing.T) {
	dir := testenv.Dir(t)
	victim := startVictim(t, "postgres", dir)
	var pid int
	if _, err := fmt.Sscan(victim.report, &pid); err != nil {
		t.Fatal(err)
	}
	pidFile := filepath.Join(dir, "cluster", "postmaster.pid")
	left, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	victim.kill(t)
	reused := strings.Replace(string(left), fmt.Sprint(pid), fmt.Sprint(os.Getpid()), 1)
	if err := os.WriteFile(pidFile, []byte(reused), 0o600); err != nil {
		t.Fatal(err)
	}
	mustHoldTheVote(t, startPostgres(t, dir))
}

func TestPostgresServerThatEndsIsNoticed(t *testing.T) {
	server := startPostgres(t, testenv.Dir(t))
	if err := syscall.Kill(server.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-server.Done():
	case <-time.After(10 * time.Second):
		t.Error("nobody noticed that the server was killed")
	}
}

func TestPostgresDataHasOneOwner(t *testing.T) {
	dir := testenv.Dir(t)
	server := startPostgres(t, dir)
	if _, err := embedded.Postgres(t.Context(), dir); !errors.Is(err, filelock.ErrHeld) {
		t.Errorf("a second Postgres on the same data: %v", err)
	}
	if !running(server.PID()) {
		t.Error("the second start stopped the first one's server")
	}
}

func TestPostgresAsksForItsPassword(t *testing.T) {
	config, err := pgx.ParseConfig(startPostgres(t, testenv.Dir(t)).URL())
	if err != nil {
		t.Fatal(err)
	}
	config.Password = "a guess"
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err == nil {
		t.Errorf("let in with a wrong password; closed: %v", conn.Close(t.Context()))
	}
}

// For root, a directory such as /root is out of reach for Postgres's account.
func TestPostgresWorksInADirectoryThatOnlyItsOwnerEnters(t *testing.T) {
	parent := testenv.Dir(t)
	if err := os.Chmod(parent, 0o700); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(parent, "postgres")
	startVictim(t, "postgres", dir).kill(t)
	server := startPostgres(t, dir)
	mustHoldTheVote(t, server)
	t.Cleanup(func() {
		moved, err := os.ReadFile(filepath.Join(dir, "moved-to"))
		if err == nil {
			err = errors.Join(server.Close(), os.RemoveAll(strings.TrimSpace(string(moved))))
		} else if os.Geteuid() != 0 && errors.Is(err, os.ErrNotExist) {
			err = nil // An ordinary user's data stays where it was asked for.
		}
		if err != nil {
			t.Error(err)
		}
	})
}
