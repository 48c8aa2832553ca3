package embedded

import (
	"fmt"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// child is a process that ends soon after this one, whichever way this one ends, where the kernel can see to that.
type child struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended; err is set before
	err  error
}

// startChild starts cmd in a process group of its own, so that a Ctrl-C at the terminal reaches this process alone,
// which then stops the child when nobody needs it any more. The child gets the signal orphaned when this process dies.
func startChild(cmd *exec.Cmd, orphaned syscall.Signal) (*child, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	setDeathSignal(cmd.SysProcAttr, orphaned)
	c := &child{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go c.run(started)
	if err := <-started; err != nil {
		return nil, err
	}
	return c, nil
}

// run keeps its thread until the child has ended: the kernel sends the death signal when the thread ends that started
// the child, and the runtime ends idle threads.
func (c *child) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := c.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	c.err = c.cmd.Wait()
	close(c.done)
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// stop ends the child by a signal that it obeys when all is well, and by harsher ones otherwise.
func (c *child) stop(kindly syscall.Signal) error {
	for _, step := range []struct {
		signal syscall.Signal
		grace  time.Duration
	}{{kindly, 15 * time.Second}, {syscall.SIGQUIT, 5 * time.Second}, {syscall.SIGKILL, 5 * time.Second}} {
		// An error says that the child has just ended, which the wait shows.
		_ = c.cmd.Process.Signal(step.signal)
		timer := time.NewTimer(step.grace)
		select {
		case <-c.done:
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
	return fmt.Errorf("process %d does not end", c.pid())
}
