package embedded_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The tests of kill -9 need a process to kill: this binary, started again with one of these roles.
const roleVariable = "EMBEDDED_TEST_ROLE"

func TestMain(m *testing.M) {
	role := os.Getenv(roleVariable)
	if role == "" {
		os.Exit(m.Run())
	}
	report, err := play(role, os.Getenv("EMBEDDED_TEST_DIR"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(report)
	_, _ = io.Copy(io.Discard, os.Stdin) // until it is killed, or the test ends
}

func play(role, dir string) (report string, err error) {
	switch role {
	case "kafka":
		return playKafka(context.Background(), dir)
	case "postgres":
		return playPostgres(context.Background(), dir)
	}
	return "", fmt.Errorf("no role %q", role)
}

// victim is a process that owns embedded servers and is about to be killed.
type victim struct {
	cmd    *exec.Cmd
	report string // what it said once it had done its part
}

func startVictim(t *testing.T, role, dir string) victim {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"="+role, "EMBEDDED_TEST_DIR="+dir)
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
	report, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("the %s process did not do its part: %v", role, err)
	}
	return victim{cmd: cmd, report: strings.TrimSpace(report)}
}

// kill is kill -9.
func (v victim) kill(t *testing.T) {
	t.Helper()
	if err := v.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// That it was killed is an error.
	_ = v.cmd.Wait()
}
