//go:build deps

package deps

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/littlevote/littlevote/libs/testenv"
)

// startRun runs a Redis in dir until the test ends or stop is called, and returns its address once it is announced.
func startRun(t *testing.T, dir string) (redis Address, stop context.CancelFunc, ended <-chan error) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, dir, Options{Only: []string{Redis}, Progress: log{t}}) }()
	t.Cleanup(func() {
		stop()
		testenv.Eventually(t, 30*time.Second, func() error { return noneRuns(dir) })
	})
	testenv.Eventually(t, 30*time.Second, func() error {
		_, err := os.Stat(filepath.Join(dir, addressFile))
		return err
	})
	all, err := Status(dir)
	if err != nil || len(all) != 1 || all[0].PID == 0 {
		t.Fatalf("%v, %v", all, err)
	}
	return all[0], stop, done
}

func mustBeForgotten(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{addressFile, settingsFile} {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRunEndsWithItsServers(t *testing.T) {
	dir := testenv.Dir(t)
	redis, stop, ended := startRun(t, dir)
	settings, err := os.ReadFile(filepath.Join(dir, settingsFile))
	if want := `redis.url: "` + redis.Value + "\"\n"; err != nil || string(settings) != want {
		t.Errorf("settings %q, want %q: %v", settings, want, err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := noneRuns(dir); err != nil {
		t.Error(err)
	}
	mustBeForgotten(t, dir)
}

func TestRunFailsWhenAServerEnds(t *testing.T) {
	dir := testenv.Dir(t)
	redis, _, ended := startRun(t, dir)
	if err := syscall.Kill(redis.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "redis has ended") {
		t.Errorf("it ended with %v", err)
	}
	mustBeForgotten(t, dir)
}
