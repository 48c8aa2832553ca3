package testenv

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

const victimVariable = "TESTENV_TEST_VICTIM"

// TestMain lets the binary be the test process that is killed: it starts the shared servers and waits.
func TestMain(m *testing.M) {
	if os.Getenv(victimVariable) == "" {
		os.Exit(m.Run())
	}
	postgres, err := sharedPostgres()
	if err == nil {
		_, err = sharedEtcd()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(postgres.server.PID())
	_, _ = io.Copy(io.Discard, os.Stdin) // until it is killed
}

func TestSharedServersLeaveNothingBehindWhenTheirProcessIsKilled(t *testing.T) {
	tmp := Dir(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), victimVariable+"=1", "TMPDIR="+tmp)
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscanln(bufio.NewReader(stdout), &pid); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// That it was killed is an error.
	_ = cmd.Wait()

	Eventually(t, 20*time.Second, func() error {
		left, err := filepath.Glob(filepath.Join(tmp, "*"))
		if err != nil || len(left) > 0 {
			return errors.Join(fmt.Errorf("left behind: %v", left), err)
		}
		if !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			return fmt.Errorf("postgres still runs as %d", pid)
		}
		return nil
	})
}
