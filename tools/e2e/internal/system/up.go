package system

import (
	"fmt"
	"strings"
	"testing"

	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/tools/e2e/internal/process"
	"github.com/littlevote/littlevote/tools/e2e/internal/voter"
)

// Up is a running `littlevote up`.
type Up struct {
	*process.Process
	*View

	Gateway   *voter.Client
	Addresses map[string]string // its name=address lines
}

// StartUp runs `littlevote up` on a data directory, with embedded stores, and waits until it says that it is ready.
func StartUp(t testing.TB, name, dir string, args ...string) *Up {
	t.Helper()
	u := &Up{Addresses: map[string]string{}}
	u.Process = process.Start(t, process.Command{
		Name: name, Program: "littlevote", Dir: testenv.Dir(t),
		Args: append([]string{
			"up", "--data-dir", dir, "--listen", "127.0.0.1:0", "--log-level", "INFO",
			"--participant-heartbeat", "100ms", "--vote-timeout", "3s", "--vote-outbox-lease", "3s",
		}, args...),
	})
	testenv.Eventually(t, readyTimeout, func() error {
		select {
		case <-u.Done():
			t.Fatalf("%s has ended:\n%s", name, u.Stderr())
		default:
		}
		if !strings.Contains(u.Stdout(), "\nready\n") {
			return fmt.Errorf("%s is not ready", name)
		}
		return nil
	})
	lines, _, _ := strings.Cut(u.Stdout(), "\nready\n")
	for line := range strings.Lines(lines) {
		if key, address, found := strings.Cut(strings.TrimSpace(line), "="); found {
			u.Addresses[key] = address
		}
	}
	u.View = Stores{
		Redis: u.Addresses["redis"], Kafka: strings.Split(u.Addresses["kafka"], ","), Postgres: u.Addresses["postgres"],
	}.view(t)
	u.Gateway = voter.NewClient(u.Addresses["gateway"])
	t.Cleanup(u.Gateway.Close)
	return u
}
