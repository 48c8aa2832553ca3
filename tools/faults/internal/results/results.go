package results

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Verdict is how a run ended.
type Verdict string

// The verdicts.
const (
	Passed Verdict = "ok"
	Slow   Verdict = "slow" // every promise was kept but one about time
	Failed Verdict = "FAILED"
	// Skipped is a run that could not take place on this machine; its note says why.
	Skipped Verdict = "skipped"
)

// Run is one fault that was tried once.
type Run struct {
	Commit    string        `json:"commit"`
	Fault     string        `json:"fault"`
	Seed      uint64        `json:"seed"`
	Began     time.Time     `json:"began"`
	Took      time.Duration `json:"took_ns"`
	Acked     int           `json:"acked"`
	Refused   int           `json:"refused"`
	Unknown   int           `json:"unknown"` // votes whose end nobody was told, after all retries
	Lost      int           `json:"lost"`
	Double    int           `json:"double"`
	OverCap   int           `json:"over_cap"`
	Other     int           `json:"other"`       // other broken promises
	Recovery  time.Duration `json:"recovery_ns"` // the longest time without an acknowledged vote; see the row
	Converged time.Duration `json:"converged_ns"`
	Verdict   Verdict       `json:"verdict"`
	Why       []string      `json:"why,omitempty"`
	Note      string        `json:"note,omitempty"`
	Evidence  string        `json:"evidence,omitempty"` // a folder
}

// String is the line of a run.
func (r Run) String() string {
	return fmt.Sprintf("%-5s seed %-3d acked %-6d refused %-5d unknown %-4d lost %d  double %d  over cap %d  recovery %6s  converged %6s  %s",
		r.Fault, r.Seed, r.Acked, r.Refused, r.Unknown, r.Lost, r.Double, r.OverCap, seconds(r.Recovery), seconds(r.Converged), r.Verdict)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }

// File is where runs are written down, a line each.
type File struct{ path string }

// Open returns the file at path, which need not be there.
func Open(path string) File { return File{path} }

// Append writes a run down, on a line of its own also where a kill has cut the last one short.
func (f File) Append(r Run) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(f.path), 0o755); err != nil {
		return err
	}
	before, err := os.ReadFile(f.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(before) > 0 && before[len(before)-1] != '\n' {
		text = append([]byte{'\n'}, text...)
	}
	file, err := os.OpenFile(f.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(append(text, '\n'))
	return errors.Join(err, file.Close())
}

// Runs reads all runs. A line that a kill has cut short is none.
func (f File) Runs() ([]Run, error) {
	file, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var runs []Run
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r Run
		if err := json.Unmarshal(lines.Bytes(), &r); err == nil {
			runs = append(runs, r)
		}
	}
	return runs, lines.Err()
}

// Done says which seeds of a fault have a verdict at a commit. A run that failed is done, too.
func Done(runs []Run, commit, fault string) map[uint64]bool {
	done := map[uint64]bool{}
	for _, r := range runs {
		if r.Commit == commit && r.Fault == fault {
			done[r.Seed] = true
		}
	}
	return done
}
