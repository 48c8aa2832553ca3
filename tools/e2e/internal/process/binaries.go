package process

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

const module = "github.com/littlevote/littlevote/"

// programs are the packages of all binaries; the last part of the path is the binary's name.
func programs() []string {
	return []string{
		module + "services/ticket-service/cmd/ticket-service",
		module + "services/vote-service/cmd/vote-service",
		module + "services/query-service/cmd/query-service",
		module + "services/persister/cmd/persister",
		module + "gateway/cmd/gateway",
		module + "tools/littlevote",
	}
}

// built are the binaries of this test process, made when the first test asks.
//
//nolint:gochecknoglobals // A build takes longer than any test, and a test has nothing else in common with the next.
var built = sync.OnceValues(build)

// Binary returns the path of a program, such as "gateway".
func Binary(t testing.TB, name string) string {
	t.Helper()
	binaries, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(binaries.dir, name)
}

type binaries struct {
	dir   string
	alive *os.File // open until this process ends, and kept here so that the garbage collector does not close it
}

func build() (binaries, error) {
	dir, err := os.MkdirTemp("", "littlevote-e2e-")
	if err != nil {
		return binaries{}, err
	}
	alive, err := sweepAfter(dir)
	if err != nil {
		return binaries{}, fmt.Errorf("watch over %s: %w", dir, err)
	}
	// Without tables for debuggers the linker takes half the time.
	args := []string{"build", "-buildvcs=false", "-ldflags=-s -w", "-o", dir + string(filepath.Separator)}
	if raceDetector {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, programs()...)...)
	if output, err := cmd.CombinedOutput(); err != nil {
		return binaries{}, fmt.Errorf("go build: %w\n%s", err, output)
	}
	for _, program := range programs() {
		if _, err := os.Stat(filepath.Join(dir, path.Base(program))); err != nil {
			return binaries{}, err
		}
	}
	return binaries{dir: dir, alive: alive}, nil
}

// sweepAfter removes dir when this process has ended, in whatever way: the returned file is then closed, which the sweeper
// waits for. A test binary has no last moment of its own.
func sweepAfter(dir string) (*os.File, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer read.Close()
	cmd := exec.Command("/bin/sh", "-c", `cat >/dev/null; rm -rf -- "$1"`, "sweeper", dir)
	cmd.Stdin = read
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return write, nil
}
