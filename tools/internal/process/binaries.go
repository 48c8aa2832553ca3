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

// services are the packages of the services' binaries; the last part of the path is the binary's name.
func services() []string {
	return []string{
		module + "services/ticket-service/cmd/ticket-service",
		module + "services/vote-service/cmd/vote-service",
		module + "services/query-service/cmd/query-service",
		module + "services/persister/cmd/persister",
		module + "services/blog-service/cmd/blog-service",
		module + "gateway/cmd/gateway",
	}
}

// Build makes all binaries in dir, with these arguments of go build beside its own.
func Build(ctx context.Context, dir string, args ...string) error {
	return build(ctx, "", dir, append(services(), module+"tools/littlevote"), args)
}

// BuildServices makes those of the services alone, from source that stands in another folder than this process works in.
func BuildServices(ctx context.Context, source, dir string, args ...string) error {
	return build(ctx, source, dir, services(), args)
}

func build(ctx context.Context, source, dir string, programs, args []string) error {
	// Without tables for debuggers the linker takes half the time.
	all := append([]string{"build", "-buildvcs=false", "-ldflags=-s -w", "-o", dir + string(filepath.Separator)}, args...)
	cmd := exec.CommandContext(ctx, "go", append(all, programs...)...)
	cmd.Dir = source
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, output)
	}
	for _, program := range programs {
		if _, err := os.Stat(filepath.Join(dir, path.Base(program))); err != nil {
			return err
		}
	}
	return nil
}
