package config

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestExecute(t *testing.T) {
	nothing := func(context.Context, *slog.Logger) error { return nil }
	fails := func(err error) func(context.Context, *slog.Logger) error {
		return func(context.Context, *slog.Logger) error { return err }
	}
	tests := map[string]struct {
		args           []string
		environ        []string
		run            func(context.Context, *slog.Logger) error
		code           int
		stdout, stderr string // each in what was written
	}{
		"runs":             {run: nothing, code: 0, stderr: `"msg":"stopped"`},
		"fails":            {run: fails(errors.New("boom")), code: 1, stderr: `"error":"boom"`},
		"bad only at run":  {run: fails(fmt.Errorf("wrapped: %w", Errorf("a.b", "expected c"))), code: 2, stderr: "a.b: expected c"},
		"canceled by none": {run: fails(context.Canceled), code: 1, stderr: "context canceled"},
		"help":             {args: []string{"--help"}, code: 0, stdout: "--ticket-lock-ttl duration"},
		"print":            {args: []string{"--print-config", "--name=new"}, code: 0, stdout: "name: new\n"},
		"bad print":        {args: []string{"--print-config", "--ratio=n"}, code: 2, stderr: "ratio: expected a number"},
		"unknown flag":     {args: []string{"--nam=n"}, code: 2, stderr: "unknown flag: --nam"},
		"argument":         {args: []string{"redis://u:hush@h"}, code: 2, stderr: `got "redis://u:[hidden]@h"`},
		"bad variable":     {environ: []string{"LITTLEVOTE_X=1"}, code: 2, stderr: "LITTLEVOTE_X: unknown variable"},
		"bad level":        {args: []string{"--log-level=x"}, code: 2, stderr: "log.level:"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			program := Program{
				Name: "sample", Args: test.args, Environ: test.environ, Stdout: &stdout, Stderr: &stderr,
				Targets: []any{newSample()}, Run: test.run,
			}
			if code := program.Execute(t.Context()); code != test.code {
				t.Errorf("code = %d, want %d", code, test.code)
			}
			if !strings.Contains(stdout.String(), test.stdout) || !strings.Contains(stderr.String(), test.stderr) {
				t.Errorf("stdout %q, stderr %q, want %q and %q in them", stdout.String(), stderr.String(), test.stdout, test.stderr)
			}
		})
	}
}

func TestExecuteEndsCleanlyWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	program := Program{Stdout: io.Discard, Stderr: io.Discard, Run: func(ctx context.Context, _ *slog.Logger) error {
		cancel()
		<-ctx.Done()
		return fmt.Errorf("serving: %w", ctx.Err())
	}}
	if code := program.Execute(ctx); code != 0 {
		t.Errorf("code = %d, want 0", code)
	}
}

func TestLogIsJSONFromTheLevelOn(t *testing.T) {
	var stderr bytes.Buffer
	program := Program{Name: "sample", Args: []string{"--log-level=warn"}, Stdout: io.Discard, Stderr: &stderr}
	program.Run = func(ctx context.Context, log *slog.Logger) error {
		log.InfoContext(ctx, "not shown")
		log.WarnContext(ctx, "shown", "n", 1)
		return nil
	}
	program.Execute(t.Context())
	var line struct {
		Msg, Level, Service string
		N                   int
	}
	if err := json.Unmarshal(stderr.Bytes(), &line); err != nil {
		t.Fatalf("%v in %q", err, stderr.String())
	}
	if line.Msg != "shown" || line.Level != "WARN" || line.Service != "sample" || line.N != 1 {
		t.Errorf("line = %+v", line)
	}
}

// TestMain becomes a program that Main runs if asked to, so that signals and exit codes can be tried on a real process.
func TestMain(m *testing.M) {
	if os.Getenv("LITTLEVOTE_TEST_CHILD") == "" {
		os.Exit(m.Run())
	}
	Main("child", nil, func(ctx context.Context, _ *slog.Logger) error {
		fmt.Println("running")
		<-ctx.Done()
		fmt.Println("stopping")
		if os.Getenv("LITTLEVOTE_TEST_CHILD") == "hangs" {
			select {}
		}
		return nil
	})
}

// startChild starts Main in a process of its own and waits for its "running".
func startChild(t *testing.T, mode string) (child *exec.Cmd, lines *bufio.Scanner) {
	t.Helper()
	child = exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), "LITTLEVOTE_TEST_CHILD="+mode)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines = bufio.NewScanner(out)
	waitLine(t, lines, "running")
	return child, lines
}

func waitLine(t *testing.T, lines *bufio.Scanner, want string) {
	t.Helper()
	if !lines.Scan() || lines.Text() != want {
		t.Fatalf("line %q, want %q", lines.Text(), want)
	}
}

func TestMainStopsOnSignal(t *testing.T) {
	child, lines := startChild(t, "ends")
	if err := child.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	waitLine(t, lines, "stopping")
	if err := child.Wait(); err != nil {
		t.Errorf("end = %v, want code 0", err)
	}
}

func TestMainDiesOfTheSecondSignal(t *testing.T) {
	child, lines := startChild(t, "hangs")
	if err := child.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	waitLine(t, lines, "stopping")
	// The first signal's handler may be removed a moment after ctx ends, so the second is sent until it works.
	dead := make(chan error, 1)
	go func() { dead <- child.Wait() }()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		_ = child.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-dead:
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
				t.Errorf("end = %v, want a death by SIGTERM", err)
			}
			return
		case <-again.C:
		}
	}
}
