package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

const (
	// allInOne is the program: collector, storage in memory and query API in one process.
	allInOne = "github.com/jaegertracing/jaeger/cmd/all-in-one"
	// progressEvery is how often a long build says that it goes on.
	progressEvery = 15 * time.Second
)

// build returns the program, made by an earlier run or now.
func build(ctx context.Context, progress io.Writer) (string, error) {
	module, err := moduleDir(ctx)
	if err != nil {
		return "", err
	}
	key, err := keyOf(module)
	if err != nil {
		return "", err
	}
	caches, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(caches, "littlevote")
	program := filepath.Join(dir, "jaeger-"+key)
	if _, err := os.Stat(program); !errors.Is(err, fs.ErrNotExist) {
		return program, err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", err
	}
	fmt.Fprintln(progress, "building Jaeger; that takes about five minutes, once")
	unfinished := fmt.Sprintf("%s.%d", program, os.Getpid())
	defer os.Remove(unfinished)
	if err := compile(ctx, progress, module, unfinished); err != nil {
		return "", err
	}
	return program, os.Rename(unfinished, program)
}

// moduleDir is where the module is that pins Jaeger. It is none of the workspace: what Jaeger needs must not change what we do.
func moduleDir(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/littlevote/littlevote/tools")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("run it within the repository: go list: %w", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "jaeger", "server"), nil
}

// keyOf changes with whatever the program is made of.
func keyOf(module string) (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, file := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(module, file))
		if err != nil {
			return "", err
		}
		_, _ = sum.Write(text) // never fails
	}
	return hex.EncodeToString(sum.Sum(nil)[:8]), nil
}

func compile(ctx context.Context, progress io.Writer, module, to string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", to, allInOne)
	cmd.Dir, cmd.Env = module, append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ticker := time.NewTicker(progressEvery)
	defer ticker.Stop()
	for {
		select {
		case err := <-ended:
			if err != nil {
				return fmt.Errorf("build Jaeger: %w\n%s", err, said.String())
			}
			return nil
		case <-ticker.C:
			fmt.Fprintf(progress, "building Jaeger: %s\n", time.Since(began).Round(time.Second))
		}
	}
}
