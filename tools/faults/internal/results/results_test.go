package results_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/littlevote/littlevote/tools/faults/internal/results"
)

func run(commit, fault string, seed uint64) results.Run {
	return results.Run{
		Commit: commit, Fault: fault, Seed: seed, Began: time.Unix(1_795_000_000, 0).UTC(), Acked: 100,
		Recovery: time.Duration(seed) * time.Second, Converged: time.Second, Verdict: results.Passed, Why: []string{"none"},
	}
}

func TestAFileKeepsRunsAndKnowsWhatIsDone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "results.ndjson")
	if runs, err := results.Open(path).Runs(); err != nil || len(runs) > 0 {
		t.Fatalf("before the first run: %v, %v", runs, err)
	}
	want := []results.Run{run("one", "F1", 1), run("one", "F2", 1), run("two", "F1", 2)}
	for _, r := range want {
		if err := results.Open(path).Append(r); err != nil {
			t.Fatal(err)
		}
	}
	runs, err := results.Open(path).Runs()
	if diff := cmp.Diff(want, runs); err != nil || diff != "" {
		t.Fatalf("%v, runs (-want +got):\n%s", err, diff)
	}
	if diff := cmp.Diff(map[uint64]bool{1: true}, results.Done(runs, "one", "F1")); diff != "" {
		t.Errorf("done (-want +got):\n%s", diff)
	}
}

func TestALineThatAKillHasCutIsLeftOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.ndjson")
	file := results.Open(path)
	if err := file.Append(run("one", "F1", 1)); err != nil {
		t.Fatal(err)
	}
	cut, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cut.WriteString(`{"commit":"one","fau`); err != nil {
		t.Fatal(err)
	}
	if err := cut.Close(); err != nil {
		t.Fatal(err)
	}
	if runs, err := file.Runs(); err != nil || len(runs) != 1 {
		t.Errorf("%v, %v", runs, err)
	}
	if err := file.Append(run("one", "F1", 2)); err != nil {
		t.Fatal(err)
	}
	if runs, err := file.Runs(); err != nil || len(runs) != 2 || runs[1].Seed != 2 {
		t.Errorf("after the next run: %v, %v", runs, err)
	}
}

func TestTable(t *testing.T) {
	runs := []results.Run{run("one", "F2", 1), run("one", "F1", 3), run("one", "F1", 2), run("two", "F1", 1)}
	runs[1].Verdict, runs[1].Lost, runs[1].Double, runs[1].OverCap = results.Failed, 1, 2, 3
	names, titles := []string{"F1", "F2", "F3"}, map[string]string{"F1": "kill", "F2": "cut"}
	var text strings.Builder
	if err := results.Print(&text, results.Sum(runs, "one", names, titles)); err != nil {
		t.Fatal(err)
	}
	_, lines, _ := strings.Cut(text.String(), "|---|\n")
	want := "| F1 | kill | 2 | 1 | 200 | 1 | 2 | 3 | 3.0s, 3.0s | 1.0s |\n| F2 | cut | 1 | 0 | 100 | 0 | 0 | 0 | 1.0s, 1.0s | 1.0s |\n"
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	if all := results.Sum(runs, "", names, titles); all[0].Runs != 3 || all[0].Recovery != 2*time.Second {
		t.Errorf("without a commit: %+v", all)
	}
}
