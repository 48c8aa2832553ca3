package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/littlevote/littlevote/tools/internal/scope"
)

const (
	// stopPatience is what an orchestrator gives a process that it asked to stop.
	stopPatience = 10 * time.Second
	// shown is how many bytes of the end of a log a failed test prints.
	shown = 6000
)

// Process is a program that was started.
type Process struct {
	Name string

	cmd    *exec.Cmd
	stdout string // files
	stderr string
	done   chan struct{} // closed when it has ended; err is set before
	err    error
}

// Command is what to start.
type Command struct {
	Name    string // for people
	Program string // its path
	Dir     string // for its logs
	Args    []string
	Env     []string // beside this process's own without LITTLEVOTE_ variables
}

// Start starts a program. When the scope ends it is stopped, and must stop in good order.
func Start(t scope.Scope, c Command) *Process {
	t.Helper()
	p := &Process{
		Name:   c.Name,
		cmd:    exec.Command(c.Program, c.Args...),
		stdout: logFile(t, c.Dir, c.Name+".out-*"),
		stderr: logFile(t, c.Dir, c.Name+".log-*"),
		done:   make(chan struct{}),
	}
	// A program under the race detector sleeps for a second when it ends, unless it is told not to.
	p.cmd.Env = append(append(environment(), "GORACE=atexit_sleep_ms=0"), c.Env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	endWithParent(p.cmd.SysProcAttr)
	started := make(chan error, 1)
	go p.run(started)
	if err := <-started; err != nil {
		t.Fatalf("start %s: %v", c.Name, err)
	}
	t.Cleanup(func() { p.finish(t) })
	return p
}

// environment is this process's own without settings of the project: a variable that a program does not know is an error.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(pair string) bool { return strings.HasPrefix(pair, "LITTLEVOTE_") })
}

func logFile(t scope.Scope, dir, pattern string) string {
	t.Helper()
	file, err := os.CreateTemp(dir, pattern)
	if err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Name()
}

// run keeps its thread until the process has ended: the kernel sends the death signal when the thread ends that started
// it, and the runtime ends idle threads.
func (p *Process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// Files of its own, and no pipes: nobody has to wait for those whom it started itself and who hold its output.
	stdout, err := os.OpenFile(p.stdout, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		started <- err
		return
	}
	defer stdout.Close()
	stderr, err := os.OpenFile(p.stderr, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		started <- err
		return
	}
	defer stderr.Close()
	p.cmd.Stdout, p.cmd.Stderr = stdout, stderr
	err = p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	p.err = p.cmd.Wait()
	close(p.done)
}

// PID is its process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Stdout is what it has written so far.
func (p *Process) Stdout() string { return read(p.stdout) }

// Stderr is what it has written so far.
func (p *Process) Stderr() string { return read(p.stderr) }

func read(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Kill ends the process as a power cut would, and waits for that.
func (p *Process) Kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL) // an error says that it has just ended
	<-p.done
}

// Signal sends it a signal.
func (p *Process) Signal(signal os.Signal) error { return p.cmd.Process.Signal(signal) }

// Wait waits for the end and returns the exit code.
func (p *Process) Wait(patience time.Duration) (int, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-timer.C:
		return 0, fmt.Errorf("%s still runs after %v", p.Name, patience)
	}
}

// finish stops the process if it still runs, and says what was wrong with it.
func (p *Process) finish(t scope.Scope) {
	p.Stop(t)
	log := p.Stderr()
	for _, mark := range []string{"WARNING: DATA RACE", "panic: ", "fatal error: "} {
		if at := strings.Index(log, mark); at >= 0 {
			t.Errorf("%s says:\n%s", p.Name, head(log[at:]))
		}
	}
	if t.Failed() {
		t.Logf("%s of %s ends:\n%s", filepath.Base(p.stderr), p.Name, tail(log))
	}
}

// Stop asks the process to stop, if it still runs, and waits for that. It must do so in good order.
func (p *Process) Stop(t scope.Scope) {
	t.Helper()
	select {
	case <-p.done:
		return
	default:
	}
	if err := p.stop(); err != nil {
		t.Errorf("stop %s: %v", p.Name, err)
	}
}

func (p *Process) stop() error {
	if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	code, err := p.Wait(stopPatience)
	if err != nil {
		p.Kill()
		return err
	}
	if code != 0 {
		return fmt.Errorf("exit code %d", code)
	}
	return nil
}

func head(text string) string { return text[:min(len(text), shown)] }

func tail(text string) string { return text[max(0, len(text)-shown):] }
