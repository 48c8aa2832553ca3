package process

import (
	"context"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const patience = 10 * time.Second

func shell(t *testing.T, script string) (*Process, error) {
	t.Helper()
	return Start(t.Context(), patience, filepath.Join(t.TempDir(), "log"), "sh", "-c", script)
}

func TestAProcessSaysWhereItIsAndStops(t *testing.T) {
	p, err := shell(t, `trap 'exit 0' TERM; echo gateway=http://127.0.0.1:1; echo "postgres=postgres://x?a=b"; echo welcome; echo ready; while :; do sleep 0.01; done`)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"gateway": "http://127.0.0.1:1", "postgres": "postgres://x?a=b"}
	if diff := cmp.Diff(want, p.Addresses); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	if err := p.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// Ctrl-C goes to the terminal's whole process group.
func TestAProcessIsOutOfReachOfCtrlC(t *testing.T) {
	p, err := shell(t, `echo ready; exec sleep 60`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Stop() }()
	group, err := syscall.Getpgid(p.cmd.Process.Pid)
	if err != nil || group == syscall.Getpgrp() {
		t.Errorf("group %d, ours %d, error %v", group, syscall.Getpgrp(), err)
	}
}

func TestAnEarlyEndQuotesTheLog(t *testing.T) {
	_, err := shell(t, `echo "port taken" >&2; exit 3`)
	if err == nil || !strings.Contains(err.Error(), "port taken") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("error %v, want one with the log and the status", err)
	}
}

// The system starts servers that may outlive it for a moment.
func TestAGrandchildThatHoldsTheOutputDelaysNothing(t *testing.T) {
	p, err := shell(t, `trap 'exit 0' TERM; sleep 60 & echo child=$!; echo ready; while :; do sleep 0.01; done`)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // the group, which is the grandchild by then
	if err := p.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func TestNotReadyInTimeIsStopped(t *testing.T) {
	_, err := Start(t.Context(), 10*time.Millisecond, filepath.Join(t.TempDir(), "log"), "sleep", "60")
	if err == nil || !strings.Contains(err.Error(), "not ready") {
		t.Errorf("error %v, want one that says that it was not ready", err)
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Start(ctx, patience, filepath.Join(t.TempDir(), "log"), "sleep", "60"); err == nil {
		t.Error("no error though the context had ended")
	}
}

func TestADeathInBetweenIsTold(t *testing.T) {
	p, err := shell(t, `trap 'echo "out of memory" >&2; exit 1' USR1; echo ready; while :; do sleep 0.01; done`)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	<-p.done
	if err := p.Stop(); err == nil || !strings.Contains(err.Error(), "out of memory") {
		t.Errorf("error %v, want one with the log", err)
	}
}
