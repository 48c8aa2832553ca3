// Package release builds the services of another version of the project, to run them beside those of this one.
package release

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/littlevote/littlevote/tools/internal/process"
)

// lastFile names the version before this one, as git knows it: a tag or a commit. Whoever makes a release puts it in there.
const lastFile = ".ci/released"

// sameButForItsName is the version that this source calls itself where git does not have the one before it.
const sameButForItsName = "0.0.0-before"

// Programs are built.
type Programs struct {
	Dir  string // the folder of the binaries
	Name string // for people
}

// Build makes the services of a git reference, in a folder under dir that serves all later calls. Without a reference it is the
// one that the file .ci/released names. A history that does not go back so far, as that of a shallow clone, is no
// failure then: the programs are this source's, under the name of another version.
func Build(ctx context.Context, root, dir, ref string, args ...string) (Programs, error) {
	asked := ref != ""
	if !asked {
		text, err := os.ReadFile(filepath.Join(root, lastFile))
		if err != nil {
			return Programs{}, err
		}
		ref = strings.TrimSpace(string(text))
	}
	commit, err := git(ctx, root, "rev-parse", "--verify", "--quiet", ref+"^{commit}").Output()
	if err != nil {
		if asked {
			return Programs{}, fmt.Errorf("git has no commit %q", ref)
		}
		return renamed(ctx, root, filepath.Join(dir, sameButForItsName), args)
	}
	id := strings.TrimSpace(string(commit))
	built := Programs{Dir: filepath.Join(dir, id), Name: id[:12]}
	if _, err := os.Stat(built.Dir); err == nil {
		return built, nil
	}
	return built, fromHistory(ctx, root, id, built.Dir, args)
}

func renamed(ctx context.Context, root, dir string, args []string) (Programs, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Programs{}, err
	}
	name := "-ldflags=-s -w -X github.com/littlevote/littlevote/libs/service.version=" + sameButForItsName
	return Programs{Dir: dir, Name: sameButForItsName}, process.BuildServices(ctx, root, dir, append(args, name)...)
}

// fromHistory leaves the binaries alone behind, and a folder of that name only if all of them are there.
func fromHistory(ctx context.Context, root, commit, dir string, args []string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), "building-")
	if err != nil {
		return err
	}
	source, made := filepath.Join(work, "source"), filepath.Join(work, "programs")
	err = errors.Join(os.Mkdir(source, 0o755), os.Mkdir(made, 0o755))
	if err == nil {
		err = unpack(ctx, root, commit, source)
	}
	if err == nil {
		err = process.BuildServices(ctx, source, made, args...)
	}
	if err == nil {
		err = os.Rename(made, dir)
	}
	return errors.Join(err, os.RemoveAll(work))
}

// unpack writes the files of a commit into an empty folder. It leaves nothing in the repository, as a worktree would.
func unpack(ctx context.Context, root, commit, dir string) error {
	archive := git(ctx, root, "archive", "--format=tar", commit)
	extract := exec.CommandContext(ctx, "tar", "-x", "-C", dir)
	pipe, err := archive.StdoutPipe()
	if err != nil {
		return err
	}
	extract.Stdin = pipe
	if err := archive.Start(); err != nil {
		return fmt.Errorf("git archive: %w", err)
	}
	out, err := extract.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("tar: %w: %s", err, out)
	}
	return errors.Join(err, archive.Wait())
}

func git(ctx context.Context, root string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = root
	return cmd
}
