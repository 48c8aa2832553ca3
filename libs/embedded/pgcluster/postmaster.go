package pgcluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// How long a postmaster gets to obey each signal before the next, harsher one.
const (
	fastGrace      = 10 * time.Second
	immediateGrace = 5 * time.Second
	killGrace      = 5 * time.Second
)

// poll is the pause between two looks at a file or a process.
const poll = 10 * time.Millisecond

// StopLeftover stops a postmaster that still runs on the home's cluster although its owner is gone, and removes what
// one left behind that was killed: its pid file may name a process that is somebody else's by now, and Postgres would
// refuse to start. The caller holds the home's lock.
func (h Home) StopLeftover(ctx context.Context) error {
	pid, _, err := h.readPidFile()
	if err != nil {
		return err
	}
	if pid != 0 && h.isPostmaster(pid) {
		if err := h.Stop(ctx, pid); err != nil {
			return err
		}
	}
	return h.removePidFile()
}

// Running is the process id of the postmaster that runs on the home's cluster, or 0.
func (h Home) Running() (int, error) {
	pid, _, err := h.readPidFile()
	if err != nil || pid == 0 || !h.isPostmaster(pid) {
		return 0, err
	}
	return pid, nil
}

// Ready says whether the postmaster with this process id accepts connections.
func (h Home) Ready(pid int) (bool, error) {
	found, status, err := h.readPidFile()
	return found == pid && status == "ready", err
}

// Stop ends a postmaster and waits until it is gone: by a fast shutdown, and if that takes too long, by harsher means.
func (h Home) Stop(ctx context.Context, pid int) error {
	for _, step := range []struct {
		signal syscall.Signal
		grace  time.Duration
	}{{syscall.SIGINT, fastGrace}, {syscall.SIGQUIT, immediateGrace}, {syscall.SIGKILL, killGrace}} {
		err := syscall.Kill(pid, step.signal)
		if errors.Is(err, syscall.ESRCH) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("stop the Postgres with process id %d: %w", pid, err)
		}
		gone, err := h.waitGone(ctx, pid, step.grace)
		if gone || err != nil {
			return err
		}
	}
	return fmt.Errorf("the Postgres with process id %d can't be stopped", pid)
}

func (h Home) waitGone(ctx context.Context, pid int, grace time.Duration) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for h.isPostmaster(pid) {
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return false, nil
			}
			return false, ctx.Err()
		case <-ticker.C:
		}
	}
	return true, nil
}

// readPidFile gives the first line of postmaster.pid, the process id, and the last one, the status. Without the file
// the id is 0; a half-written file has no status yet.
func (h Home) readPidFile() (pid int, status string, err error) {
	text, err := os.ReadFile(h.pidPath())
	if errors.Is(err, fs.ErrNotExist) {
		return 0, "", nil
	}
	if err != nil {
		return 0, "", err
	}
	lines := strings.Split(string(text), "\n")
	pid, err = strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil {
		return 0, "", nil //nolint:nilerr // Killed while it wrote the file: as good as none.
	}
	const statusLine = 7
	if len(lines) > statusLine {
		status = strings.TrimSpace(lines[statusLine])
	}
	return pid, status, nil
}
