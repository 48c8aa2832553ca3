package deps

import (
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// sleeper is a process that does nothing until it is told to end.
func sleeper(t *testing.T) (*process, <-chan struct{}) {
	t.Helper()
	p, ended, err := startDetached(exec.Command("sleep", "600"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.alive() {
			_ = syscall.Kill(p.PID, syscall.SIGKILL)
		}
	})
	return p, ended
}

func TestStateIsReadBackByTheNextCommand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	before, err := loadState(path)
	if err != nil {
		t.Fatal(err)
	}
	p, _ := sleeper(t)
	if err := before.setPort(Kafka, client, 9092); err != nil {
		t.Fatal(err)
	}
	if err := before.setProcess(Kafka, p); err != nil {
		t.Fatal(err)
	}
	after, err := loadState(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := after.port(Kafka, client); got != 9092 {
		t.Errorf("the port is %d", got)
	}
	if diff := cmp.Diff(p, after.process(Kafka)); diff != "" {
		t.Errorf("the process (-want +got):\n%s", diff)
	}
}

// A server that is out of reach of a Ctrl-C is still given its turns beside who started it: Linux may share out processors by session.
func TestServersHaveAGroupOfTheirOwnInTheSessionOfTheirCaller(t *testing.T) {
	p, _ := sleeper(t)
	if group, err := unix.Getpgid(p.PID); err != nil || group != p.PID {
		t.Errorf("process %d is in group %d, %v", p.PID, group, err)
	}
	ours, err := unix.Getsid(0)
	if err != nil {
		t.Fatal(err)
	}
	if session, err := unix.Getsid(p.PID); err != nil || session != ours {
		t.Errorf("the server is in session %d, %v; its caller in %d", session, err, ours)
	}
}

func TestAnotherProcessUnderTheSameIDIsNotTheServer(t *testing.T) {
	p, _ := sleeper(t)
	reused := &process{PID: p.PID, Mark: "an earlier moment"}
	if reused.alive() {
		t.Error("a later process with the same id passes for the server")
	}
	if err := reused.stop(t.Context(), syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	if !p.alive() {
		t.Error("a process that is none of ours was stopped")
	}
}

func TestStopWaitsForTheEnd(t *testing.T) {
	p, ended := sleeper(t)
	if err := p.stop(t.Context(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if p.alive() {
		t.Error("the process still runs")
	}
	<-ended
	if p.alive() {
		t.Error("the process runs again")
	}
}

func TestAPortIsKeptWhileItIsFree(t *testing.T) {
	s := &site{dir: t.TempDir(), state: &state{path: filepath.Join(t.TempDir(), "state.json"), servers: map[string]*record{}}}
	if err := s.choosePorts(t.Context(), Redis, []string{client}); err != nil {
		t.Fatal(err)
	}
	first := s.state.port(Redis, client)
	if err := s.choosePorts(t.Context(), Redis, []string{client}); err != nil {
		t.Fatal(err)
	}
	if again := s.state.port(Redis, client); again != first {
		t.Errorf("port %d became %d, though it was free", first, again)
	}
}
