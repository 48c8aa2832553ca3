package rows

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/littlevote/littlevote/tools/faults/internal/release"
	"github.com/littlevote/littlevote/tools/faults/internal/results"
	"github.com/littlevote/littlevote/tools/faults/internal/servers"
	"github.com/littlevote/littlevote/tools/internal/scope"
)

// runTimeout bounds a run as a whole.
const runTimeout = 5 * time.Minute

// Lab is where runs take place.
type Lab struct {
	Shared   *servers.Shared
	Programs string // the folder of the binaries
	// Before builds those of the version before this one.
	Before   func(context.Context) (release.Programs, error)
	Evidence string // the folder under which each failed run leaves one
	Commit   string
	Patience float64           // stretches the limits on time, for a machine that does much else
	Env      map[string]string // of every service, such as a mutant
	Keep     bool              // keep the evidence of every run
	timeout  time.Duration     // of a run; 0 takes the default
}

// Try runs a row once.
func (l *Lab) Try(ctx context.Context, row Row, seed uint64) (results.Run, error) {
	began := time.Now()
	result := results.Run{Commit: l.Commit, Fault: row.Name, Seed: seed, Began: began.UTC(), Verdict: results.Passed}
	dir := filepath.Join(l.Evidence, fmt.Sprintf("%s-%d-%s", row.Name, seed, began.UTC().Format("150405")))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return result, err
	}
	log, err := os.Create(filepath.Join(dir, "run.log"))
	if err != nil {
		return result, err
	}
	defer log.Close()
	var before release.Programs
	if row.FromBefore {
		if before, err = l.Before(ctx); err != nil { // no part of the run's time
			return result, err
		}
	}
	limited, cancel := context.WithTimeout(ctx, max(l.timeout, runTimeout))
	defer cancel()
	problems := scope.Start(limited, log, func(s *scope.Run) { l.run(s, row, seed, dir, before, &result) })
	result.Took = time.Since(began)
	if ctx.Err() != nil {
		return result, ctx.Err()
	}
	if len(problems) > 0 {
		result.Verdict = results.Failed
		result.Why = append(problems, result.Why...)
	}
	if result.Verdict == results.Failed || result.Verdict == results.Slow || l.Keep {
		result.Evidence = dir
		return result, nil
	}
	return result, os.RemoveAll(dir)
}

func (l *Lab) run(s *scope.Run, row Row, seed uint64, dir string, before release.Programs, result *results.Run) {
	// The row's name is part of the seed: the same number means another moment for every row.
	name := uint64(0)
	for _, c := range row.Name {
		name = name*31 + uint64(c)
	}
	r := &Run{
		Scope: s, Row: row, Seed: seed, Random: rand.New(rand.NewPCG(seed, name)), Dir: dir, Shared: l.Shared, programs: l.Programs,
		before: before, env: l.Env,
	}
	defer func() {
		if r.Crowd != nil && !r.judged {
			r.count(result)
		}
		result.Note = r.note
		if r.skipped {
			result.Verdict = results.Skipped
		}
	}()
	r.start()
	r.happen()
	r.judge(result, l.Patience)
}
