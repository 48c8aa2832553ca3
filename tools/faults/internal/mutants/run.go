package mutants

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// testTimeout bounds one test binary.
const testTimeout = 2 * time.Minute

// Result is what became of one mutant.
type Result struct {
	Mutant string
	Caught bool
	By     string // the test that failed
	Took   time.Duration
}

// Bench holds the test binaries.
type Bench struct {
	root string // of the repository
	dir  string // of the binaries
}

// Build makes the test binaries of all packages in the table, with the tag that puts the variants in.
func Build(ctx context.Context, root, dir string, table []Catch) (*Bench, error) {
	b := &Bench{root: root, dir: dir}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	for _, pkg := range packages(table) {
		cmd := exec.CommandContext(ctx, "go", "test", "-c", "-tags=faults", "-o", b.binary(pkg), "./"+pkg)
		cmd.Dir = root
		if output, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build the tests of %s: %w\n%s", pkg, err, output)
		}
	}
	return b, nil
}

func packages(table []Catch) []string {
	var all []string
	for _, c := range table {
		if c.Package != "" && !slices.Contains(all, c.Package) {
			all = append(all, c.Package)
		}
	}
	return all
}

func (b *Bench) binary(pkg string) string {
	return filepath.Join(b.dir, strings.ReplaceAll(pkg, "/", "-")+".test")
}

// Control runs the tests without any variant: what is red by itself catches nothing.
func (b *Bench) Control(ctx context.Context, table []Catch) error {
	for _, pkg := range packages(table) {
		var tests []string
		for _, c := range table {
			if c.Package == pkg {
				tests = append(tests, c.Tests...)
			}
		}
		slices.Sort(tests)
		failed, output, err := b.run(ctx, pkg, slices.Compact(tests), "")
		if err != nil {
			return err
		}
		if failed != "" {
			return fmt.Errorf("%s fails in %s without any variant:\n%s", failed, pkg, output)
		}
	}
	return nil
}

// Try runs the tests with the variant.
func (b *Bench) Try(ctx context.Context, c Catch) (Result, error) {
	began := time.Now()
	failed, _, err := b.run(ctx, c.Package, c.Tests, c.Mutant)
	return Result{Mutant: c.Mutant, Caught: failed != "", By: failed, Took: time.Since(began)}, err
}

// run returns the first test that failed, or "", and the end of what the tests have said.
func (b *Bench) run(ctx context.Context, pkg string, tests []string, mutant string) (failed, end string, err error) {
	ctx, cancel := context.WithTimeout(ctx, testTimeout+10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.binary(pkg),
		"-test.run=^("+strings.Join(tests, "|")+")$", "-test.failfast", "-test.timeout="+testTimeout.String(), "-test.v")
	cmd.Dir = filepath.Join(b.root, pkg)
	cmd.Env = append(environment(), "LITTLEVOTE_MUTANT="+mutant)
	cmd.WaitDelay = time.Second
	output, err := cmd.CombinedOutput()
	end = string(output[max(0, len(output)-2000):])
	if ctx.Err() != nil {
		return "", end, ctx.Err()
	}
	for _, test := range tests {
		if !bytes.Contains(output, []byte("=== RUN   "+test+"\n")) && err == nil {
			return "", end, fmt.Errorf("%s has no test %s", pkg, test)
		}
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return "", end, nil
	case !errors.As(err, &exit):
		return "", end, err
	}
	for line := range strings.Lines(string(output)) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "--- FAIL: "); ok {
			name, _, _ := strings.Cut(rest, " ")
			return name, end, nil
		}
		if strings.HasPrefix(line, "panic: test timed out") {
			return "a test that hangs", end, nil
		}
	}
	return "", end, fmt.Errorf("%s ends with %w:\n%s", pkg, err, end)
}

// environment is this process's own; settings of the suites, such as real servers, stay.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(pair string) bool {
		return strings.HasPrefix(pair, "LITTLEVOTE_") && !strings.HasPrefix(pair, "LITTLEVOTE_TEST_")
	})
}

// All tries every mutant of the table, some at the same time, and prints a line for each. fault runs a fault with a mutant
// and says what it noticed.
func (b *Bench) All(ctx context.Context, table []Catch, w io.Writer, fault func(context.Context, Catch) (string, error)) (survived int, err error) {
	const atOnce = 2
	var mu sync.Mutex
	var all sync.WaitGroup
	var errs []error
	slots := make(chan struct{}, atOnce)
	report := func(r Result, err error) {
		mu.Lock()
		defer mu.Unlock()
		verdict := "caught by " + r.By
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", r.Mutant, err))
			verdict = "not tried: " + err.Error()
		case !r.Caught:
			survived++
			verdict = "SURVIVED"
		}
		_, _ = fmt.Fprintf(w, "%-28s %5.1fs  %s\n", r.Mutant, r.Took.Seconds(), verdict)
	}
	for _, c := range table {
		if c.Package == "" {
			continue
		}
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			r, err := b.Try(ctx, c)
			r.Mutant = c.Mutant
			report(r, err)
		})
	}
	all.Wait()
	for _, c := range table {
		if c.Package == "" && ctx.Err() == nil {
			began := time.Now()
			by, err := fault(ctx, c)
			report(Result{Mutant: c.Mutant, Caught: by != "", By: by, Took: time.Since(began)}, err)
		}
	}
	return survived, errors.Join(errs...)
}
