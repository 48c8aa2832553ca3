package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	stopPatience = 20 * time.Second // the system drains for some seconds
	killPatience = 5 * time.Second
	logTail      = 2000 // bytes of the log that an error quotes
)

var errEarly = errors.New("ended before it was ready")

// Process is a running process that was ready once.
type Process struct {
	Addresses map[string]string // what it said before it was ready

	name   string
	log    string
	cmd    *exec.Cmd
	output *os.File
	done   chan struct{} // closed when it has ended; err is set before
	err    error
}

// Start runs a command and waits until it is ready, at most so long. Its log goes to the file.
func Start(ctx context.Context, patience time.Duration, log, command string, args ...string) (*Process, error) {
	file, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("the log: %w", err)
	}
	defer file.Close() // the process has its own copy
	cmd := exec.Command(command, args...)
	cmd.Stderr = file
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	endWithParent(cmd.SysProcAttr)
	// A pipe of our own: Wait must not wait for those whom the process itself started and who hold its output.
	output, input, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", command, err)
	}
	cmd.Stdout = input

	p := &Process{name: command, log: log, cmd: cmd, done: make(chan struct{}), Addresses: map[string]string{}}
	started, ready := make(chan error, 1), make(chan error, 1)
	go p.run(started)
	err = <-started
	_ = input.Close() // the process has its own copy
	if err != nil {
		_ = output.Close()
		return nil, fmt.Errorf("start %s: %w", command, err)
	}
	p.output = output
	go p.listen(ready)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err = <-ready:
	case <-p.done:
		err = errEarly
	case <-timer.C:
		err = fmt.Errorf("not ready after %v", patience)
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w%s", command, errors.Join(err, p.stop()), p.tail())
	}
	return p, nil
}

// run keeps its thread until the process has ended: the kernel tells the process that its parent is gone when the
// thread ends that started it, and the runtime ends idle threads.
func (p *Process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	p.err = p.cmd.Wait()
	close(p.done)
}

// listen reads all output until Stop. ready gets nil at the line `ready`, or an error if the output ends before it.
func (p *Process) listen(ready chan<- error) {
	lines := bufio.NewScanner(p.output)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "ready" {
			ready <- nil
			_, _ = io.Copy(io.Discard, p.output) // so that it never waits for us
			return
		}
		if name, address, found := strings.Cut(line, "="); found {
			p.Addresses[name] = address
		}
	}
	ready <- errEarly
}

// Stop ends the process in good order if it obeys, and otherwise by force. It is an error if the process had ended
// before, or was not well.
func (p *Process) Stop() error {
	if err := p.stop(); err != nil {
		return fmt.Errorf("%s %w%s", p.name, err, p.tail())
	}
	return nil
}

func (p *Process) stop() error {
	defer p.output.Close()
	select {
	case <-p.done:
		return fmt.Errorf("had ended by itself: %w", p.ended())
	default:
	}
	for _, step := range []struct {
		signal   syscall.Signal
		patience time.Duration
	}{{syscall.SIGTERM, stopPatience}, {syscall.SIGKILL, killPatience}} {
		// An error says that it has just ended, which the wait shows.
		_ = p.cmd.Process.Signal(step.signal)
		timer := time.NewTimer(step.patience)
		select {
		case <-p.done:
			timer.Stop()
			if p.err != nil {
				return fmt.Errorf("did not stop in good order: %w", p.err)
			}
			return nil
		case <-timer.C:
		}
	}
	return errors.New("does not end")
}

// ended says how it ended.
func (p *Process) ended() error {
	if p.err == nil {
		return errors.New("exit status 0")
	}
	return p.err
}

// tail quotes the end of the log.
func (p *Process) tail() string {
	text, err := os.ReadFile(p.log)
	if err != nil || len(text) == 0 {
		return ""
	}
	if len(text) > logTail {
		text = text[len(text)-logTail:]
	}
	return "; its log ends:\n" + strings.TrimSpace(string(text))
}
