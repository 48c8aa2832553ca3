package process

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
)

const module = "github.com/littlevote/littlevote/"

// programs are the packages of all binaries; the last part of the path is the binary's name.
func programs() []string {
	return []string{
		module + "services/ticket-service/cmd/ticket-service",
		module + "services/vote-service/cmd/vote-service",
		module + "services/query-service/cmd/query-service",
		module + "services/persister/cmd/persister",
		module + "services/blog-service/cmd/blog-service",
		module + "gateway/cmd/gateway",
		module + "tools/littlevote",
	}
}

// Build makes all binaries in dir, with these arguments of go build beside its own.
func Build(ctx context.Context, dir string, args ...string) error {
	return BuildFrom(ctx, "", dir, args...)
}

// BuildFrom is Build for source that stands in another folder than this process works in.
func BuildFrom(ctx context.Context, source, dir string, args ...string) error {
	// Without tables for debuggers the linker takes half the time.
	all := append([]string{"build", "-buildvcs=false", "-ldflags=-s -w", "-o", dir + string(filepath.Separator)}, args...)
	cmd := exec.CommandContext(ctx, "go", append(all, programs()...)...)
	cmd.Dir = source
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, output)
	}
	for _, program := range programs() {
		if _, err := os.Stat(filepath.Join(dir, path.Base(program))); err != nil {
			return err
		}
	}
	return nil
}
