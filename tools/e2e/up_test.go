package e2e

import (
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/tools/e2e/internal/fixture"
	"github.com/littlevote/littlevote/tools/internal/checker"
	"github.com/littlevote/littlevote/tools/internal/process"
	"github.com/littlevote/littlevote/tools/internal/voter"
)

// TestUp is the life of one data directory: a first start, the commands, kill -9 in the middle of load, Ctrl-C in the middle
// of load, and a start after each.
func TestUp(t *testing.T) {
	const voters, progress = 12, 150
	dir := testenv.Dir(t)
	history := &checker.History{}

	first := fixture.StartUp(t, "up-1", dir, "--ticket-cap", "none")
	t.Run("says where everything is", func(t *testing.T) { addresses(t, first) })
	t.Run("commands", func(t *testing.T) { commands(t, dir, first, history) })
	t.Run("tokens", func(t *testing.T) { tokens(t, dir, first) })
	t.Run("refuses a second one on the same data", func(t *testing.T) { secondUp(t, dir) })
	c := gather(t, []*voter.Client{first.Gateway}, history, voters, alternating(true))
	c.awaitMore(t, progress)
	first.Kill()
	c.stop()

	second := fixture.StartUp(t, "up-2", dir, "--ticket-cap", "none")
	resolve(t, second.Gateway, history)
	second.Verify(t, second.Gateway, history)
	c = gather(t, []*voter.Client{second.Gateway}, history, voters, alternating(true))
	c.awaitMore(t, progress)
	interrupted := time.Now()
	if err := second.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	code, err := second.Wait(10 * time.Second)
	if err != nil || code != 0 {
		t.Errorf("after Ctrl-C: exit code %d, %v", code, err)
	}
	t.Logf("stopped %v after Ctrl-C", time.Since(interrupted).Round(time.Millisecond))
	c.stop()

	third := fixture.StartUp(t, "up-3", dir, "--ticket-cap", "none")
	resolve(t, third.Gateway, history)
	third.Verify(t, third.Gateway, history)
}

func addresses(t *testing.T, up *fixture.Up) {
	want := []string{"admin", "blog", "gateway", "kafka", "persister", "postgres", "query", "redis", "ticket", "vote"}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(up.Addresses))); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	for _, name := range []string{"admin", "blog", "gateway", "kafka", "persister", "query", "ticket", "vote"} {
		conn, err := net.Dial("tcp", up.Addresses[name])
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_ = conn.Close()
	}
	if err := up.Pool.Ping(t.Context()); err != nil {
		t.Errorf("postgres: %v", err)
	}
	if code, body := get(t, "http://"+up.Addresses["admin"]+"/readyz"); code != 200 {
		t.Errorf("readyz: %d %s", code, body)
	}
}

func secondUp(t *testing.T, dir string) {
	started := time.Now()
	p := process.Start(t, process.Command{
		Name: "second", Program: filepath.Join(fixture.Programs(t), "littlevote"), Dir: t.TempDir(),
		Args: []string{"up", "--data-dir", dir, "--listen", "127.0.0.1:0"},
	})
	code, err := p.Wait(20 * time.Second)
	if err != nil || code != 1 || !strings.Contains(p.Stderr(), "in use by another process") {
		t.Errorf("exit code %d, %v:\n%s%s", code, err, p.Stdout(), p.Stderr())
	}
	t.Logf("refused after %v", time.Since(started).Round(time.Millisecond))
}

// command runs littlevote and returns what it printed; it must end with the exit code.
func command(t *testing.T, code int, args ...string) string {
	t.Helper()
	p := process.Start(t, process.Command{Name: args[0], Program: filepath.Join(fixture.Programs(t), "littlevote"), Dir: t.TempDir(), Args: args})
	got, err := p.Wait(time.Minute)
	if err != nil || got != code {
		t.Errorf("littlevote %v: exit code %d, %v, want %d:\n%s%s", args, got, err, code, p.Stdout(), p.Stderr())
	}
	return p.Stdout() + p.Stderr()
}

func commands(t *testing.T, dir string, up *fixture.Up, history *checker.History) {
	contains := func(output string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if !strings.Contains(output, part) {
				t.Errorf("no %q in:\n%s", part, output)
			}
		}
	}
	url := "--url=" + up.Gateway.URL
	contains(command(t, 0, "version"), "littlevote ")
	contains(command(t, 0, "ticket", url), "value", "version", "expires")

	key := voter.NewKey()
	for range 2 { // the same vote
		contains(command(t, 0, "vote", "A", "B", "--key", key, url), "(OK)", "A  1", "B  1")
	}
	history.Add(checker.Attempt{ID: key, Ballot: "main", Names: []string{"A", "B"}, Outcome: checker.Counted})
	contains(command(t, 1, "vote", "nobody", url), "(INVALID_ARGUMENT)")
	contains(command(t, 0, "results", url), "A  1", "B  1", "Z  0")
	contains(command(t, 0, "results", "A", url), "A  1")
	contains(command(t, 0, "migrate", "--data-dir", dir), "up to date")
	contains(command(t, 0, "fsck", "--data-dir", dir), "ledger: 2 rows, 2 votes", "all is well")
	differing(t, dir, up)

	command(t, 1, "results", "--url=http://"+process.Address(t)+"/graphql") // nobody is there
	contains(command(t, 2, "vote", "--no-such-flag"), "no-such-flag")
	contains(command(t, 2, "up", "--ticket-cap=0"), "ticket.cap")
	command(t, 2, "migrate", "--data-dir", t.TempDir()) // no Postgres
}

// differing edits a tally by hand, which fsck must find.
func differing(t *testing.T, dir string, up *fixture.Up) {
	t.Helper()
	edit := func(by int) {
		tag, err := up.Pool.Exec(t.Context(), "UPDATE user_votes SET votes = votes + $1 WHERE ballot = 'main' AND username = 'A'", by)
		if err != nil || tag.RowsAffected() != 1 {
			t.Fatalf("%v, %v", tag, err)
		}
	}
	edit(1)
	if output := command(t, 1, "fsck", "--wait=0s", "--data-dir", dir); !strings.Contains(output, "WRONG tally main/A: the ledger adds up to 1, user_votes says 2") {
		t.Errorf("fsck says\n%s", output)
	}
	edit(-1)
}
