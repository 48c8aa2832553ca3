package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/littlevote/littlevote/tools/faults/internal/results"
	"github.com/littlevote/littlevote/tools/faults/internal/rows"
)

// job is one run that shall be.
type job struct {
	row  rows.Row
	seed uint64
}

// jobs are the runs that are missing: the first seed of all rows before the second of any, so that a series that is stopped has
// seen every fault.
func (o *options) jobs(some []rows.Row, before []results.Run, commit string) []job {
	most := 0
	for _, row := range some {
		most = max(most, len(o.seedsOf(row)))
	}
	var missing []job
	for round := range most {
		for _, row := range some {
			seeds := o.seedsOf(row)
			if round >= len(seeds) || !o.again && results.Done(before, commit, row.Name)[seeds[round]] {
				continue
			}
			missing = append(missing, job{row, seeds[round]})
		}
	}
	return missing
}

// try runs rows, in each lab one at a time, until all are through or the time is over. What needs the machine to itself gets it.
func (o *options) try(ctx context.Context, labs []*rows.Lab, some []rows.Row) error {
	if o.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.duration)
		defer cancel()
	}
	before, err := o.results().Runs()
	if err != nil {
		return err
	}
	var (
		telling sync.Mutex
		failed  bool
		queue   = make(chan job)
		machine sync.RWMutex
	)
	lanes, running := errgroup.WithContext(ctx)
	for _, lab := range labs {
		lanes.Go(func() error {
			for next := range queue {
				share := machine.RLocker()
				if next.row.Alone {
					share = &machine
				}
				share.Lock()
				run, err := lab.Try(running, next.row, next.seed)
				share.Unlock()
				if err != nil {
					return err
				}
				telling.Lock()
				failed = failed || run.Verdict == results.Failed || run.Verdict == results.Slow
				err = o.tell(run)
				telling.Unlock()
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	lanes.Go(func() error {
		defer close(queue)
		for _, next := range o.jobs(some, before, labs[0].Commit) {
			select {
			case queue <- next:
			case <-running.Done():
				return running.Err()
			}
		}
		return nil
	})
	if err := lanes.Wait(); err != nil && (o.duration == 0 || !errors.Is(err, context.DeadlineExceeded)) {
		return err
	}
	return o.verdict(failed)
}

func (o *options) verdict(failed bool) error {
	if failed {
		return errFailed
	}
	return nil
}

// tell writes a run down and prints it, with the command that repeats it.
func (o *options) tell(run results.Run) error {
	if o.mutant == "" {
		if err := o.results().Append(run); err != nil {
			return err
		}
	}
	if o.json {
		return json.NewEncoder(o.stdout).Encode(run)
	}
	repeat := fmt.Sprintf("go run ./tools/faults run %s --seed %d", run.Fault, run.Seed)
	if run.Fault == rows.SoakName {
		repeat = fmt.Sprintf("go run ./tools/faults soak --seed %d", run.Seed)
	}
	if _, err := fmt.Fprintf(o.stdout, "%s  %s\n", run, repeat); err != nil {
		return err
	}
	for _, why := range run.Why {
		why, _, _ = strings.Cut(why, "\n")
		if _, err := fmt.Fprintf(o.stdout, "      %s\n", why); err != nil {
			return err
		}
	}
	if run.Evidence != "" || o.verbose || run.Verdict == results.Skipped {
		_, err := fmt.Fprintf(o.stdout, "      %s; took %v; evidence: %s\n", run.Note, run.Took.Round(time.Second), run.Evidence)
		return err
	}
	return nil
}
