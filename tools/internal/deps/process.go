package deps

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

const (
	processPoll = 20 * time.Millisecond
	stopGrace   = 30 * time.Second // what a server gets to end by itself
	killGrace   = 10 * time.Second
)

// process is a process that can be recognised later.
type process struct {
	PID  int    `json:"pid"`
	Mark string `json:"mark"` // tells it from a later process with the same id
}

// startDetached starts a process that outlives this one: in a group of its own, so that neither a Ctrl-C nor the end of
// the terminal reaches it. While this process lives, ended is closed when that one ends. A session of its own would do
// that too; but Linux shares out processors by session first (sched_autogroup), and then a broker waited for seconds
// beside a compiler in the session of its caller.
func startDetached(cmd *exec.Cmd) (p *process, ended <-chan struct{}, err error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	done := make(chan struct{})
	// Without a mark, since the process has ended already, it counts as not alive.
	mark, _ := markOf(cmd.Process.Pid)
	go func() {
		defer close(done)
		// Reaped for the case that it ends first; why it ended is in its log.
		_ = cmd.Wait()
	}()
	return &process{PID: cmd.Process.Pid, Mark: mark}, done, nil
}

// alive says whether the process still runs, and not another one under its id.
func (p *process) alive() bool {
	mark, err := markOf(p.PID)
	return err == nil && mark == p.Mark
}

// stop sends the signal that ends the process cleanly, waits, and kills it if that takes too long.
func (p *process) stop(ctx context.Context, signal syscall.Signal) error {
	for _, step := range []struct {
		signal syscall.Signal
		grace  time.Duration
	}{{signal, stopGrace}, {syscall.SIGKILL, killGrace}} {
		if !p.alive() {
			return nil
		}
		err := syscall.Kill(p.PID, step.signal)
		if err != nil && !errors.Is(err, syscall.ESRCH) {
			return os.NewSyscallError("kill", err)
		}
		if err := p.waitEnd(ctx, step.grace); err != nil {
			return err
		}
	}
	if p.alive() {
		return fmt.Errorf("process %d does not end", p.PID)
	}
	return nil
}

// waitEnd waits until the process has ended or the grace is over.
func (p *process) waitEnd(ctx context.Context, grace time.Duration) error {
	over := time.NewTimer(grace)
	defer over.Stop()
	ticker := time.NewTicker(processPoll)
	defer ticker.Stop()
	for p.alive() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-over.C:
			return nil
		case <-ticker.C:
		}
	}
	return nil
}
