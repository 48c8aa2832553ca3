package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/littlevote/littlevote/tools/faults/internal/release"
	"github.com/littlevote/littlevote/tools/faults/internal/results"
	"github.com/littlevote/littlevote/tools/faults/internal/rows"
	"github.com/littlevote/littlevote/tools/faults/internal/servers"
	"github.com/littlevote/littlevote/tools/internal/process"
	"github.com/littlevote/littlevote/tools/internal/scope"
)

// options are the flags of all commands.
type options struct {
	dir, cache        string
	seeds, lanes      int
	seed              uint64
	duration          time.Duration
	patience          float64
	json, again, keep bool
	verbose           bool
	stdout, stderr    io.Writer
	mutant            string
	from              string
}

func (o *options) results() results.File { return results.Open(filepath.Join(o.dir, "results.ndjson")) }

// seedsOf are the seeds to run of a row.
func (o *options) seedsOf(row rows.Row) []uint64 {
	first, n := max(o.seed, 1), o.seeds
	switch {
	case n == 0 && o.seed != 0:
		n = 1
	case n == 0:
		n = usualSeeds(row.Kind)
	}
	seeds := make([]uint64, n)
	for i := range seeds {
		seeds[i] = first + uint64(i)
	}
	return seeds
}

func usualSeeds(kind rows.Kind) int {
	switch kind {
	case rows.Kill, rows.Cut, rows.Flush, rows.Failover:
		return 20
	default:
		return 5
	}
}

// brief lets Kafka start with half the processor time: brokers are killed here long before they are worth optimising.
const brief = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"

// withFaults builds programs that can be told to die, or to leave out a rule.
const withFaults = "-tags=faults"

// inLab builds the programs, gives work a lab, and stops every server afterwards.
func (o *options) inLab(ctx context.Context, work func(ctx context.Context, lab *rows.Lab) error) error {
	o.lanes = 1
	return o.inLabs(ctx, func(ctx context.Context, labs []*rows.Lab) error { return work(ctx, labs[0]) })
}

// inLabs is inLab with a lab for each lane.
func (o *options) inLabs(ctx context.Context, work func(ctx context.Context, labs []*rows.Lab) error) error {
	if o.lanes < 1 || o.lanes > 16 {
		return fmt.Errorf("--lanes: expected 1 to 16, got %d", o.lanes)
	}
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return err
	}
	programs := filepath.Join(dir, "programs")
	for _, d := range []string{programs, filepath.Join(dir, "evidence")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := os.Setenv("JDK_JAVA_OPTIONS", brief); err != nil {
		return err
	}
	var failed error
	problems := scope.Start(ctx, io.Discard, func(s *scope.Run) {
		servers.Lock(s, filepath.Join(dir, "lock"))
		fmt.Fprintln(o.stderr, "building the services with -tags faults")
		if err := process.Build(s.Context(), programs, withFaults); err != nil {
			s.Fatal(err)
		}
		failed = work(s.Context(), o.labs(s, dir, programs))
	})
	if len(problems) > 0 {
		failed = errors.Join(failed, errors.New(strings.Join(problems, "\n")))
	}
	return failed
}

// labs are as many as there are lanes, with servers in folders of their own.
func (o *options) labs(s *scope.Run, dir, programs string) []*rows.Lab {
	cache := o.cache
	if cache == "" {
		cache = filepath.Join(dir, "kafka")
	}
	var building sync.Mutex
	before := func(ctx context.Context) (release.Programs, error) {
		building.Lock()
		defer building.Unlock()
		root, err := repository(ctx)
		if err != nil {
			return release.Programs{}, err
		}
		return release.Build(ctx, root, filepath.Join(dir, "releases"), o.from, withFaults)
	}
	code := commit(s.Context())
	labs := make([]*rows.Lab, o.lanes)
	for i := range labs {
		labs[i] = &rows.Lab{
			Shared:   servers.NewShared(s, filepath.Join(dir, fmt.Sprint("servers", i+1)), cache, o.progress()),
			Programs: programs, Evidence: filepath.Join(dir, "evidence"), Commit: code, Patience: o.patience, Keep: o.keep, Before: before,
		}
	}
	return labs
}

func (o *options) progress() io.Writer {
	if o.verbose {
		return o.stderr
	}
	return io.Discard
}

// repository is the root of the source.
func repository(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOWORK").Output()
	if err != nil {
		return "", fmt.Errorf("go env: %w", err)
	}
	work := string(bytes.TrimSpace(out))
	if work == "" || work == "off" {
		return "", errors.New("run it inside the repository, with its go.work")
	}
	return filepath.Dir(work), nil
}

// commit names the code that runs: the commit, and a mark of what is changed and not committed.
func commit(ctx context.Context) string {
	git := func(args ...string) string {
		out, err := exec.CommandContext(ctx, "git", args...).Output()
		if err != nil {
			return ""
		}
		return string(bytes.TrimSpace(out))
	}
	name := git("rev-parse", "--short=12", "HEAD")
	if name == "" {
		return "unknown"
	}
	if git("status", "--porcelain", "--untracked-files=no") != "" {
		return name + "+"
	}
	return name
}
