package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/littlevote/littlevote/tools/faults/internal/results"
	"github.com/littlevote/littlevote/tools/faults/internal/rows"
)

func TestTheSelectionHasEveryKindThatIsAsked(t *testing.T) {
	missing := map[rows.Kind]bool{
		rows.Kill: true, rows.Stop: true, rows.Cut: true, rows.Flush: true, rows.Failover: true, rows.Poison: true, rows.Overload: true,
		rows.Change: true,
	}
	for _, name := range selection() {
		row, ok := rows.Find(name)
		if !ok {
			t.Errorf("no fault is called %s", name)
		}
		delete(missing, row.Kind)
	}
	if len(missing) > 0 {
		t.Errorf("nothing of %v", missing)
	}
}

func TestListSaysOfEveryFaultWhatItDoesAndWhatVotersMaySee(t *testing.T) {
	var out bytes.Buffer
	cmd := command()
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"list"})
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, row := range rows.All() {
		if seen[row.Name] || row.Title == "" || row.Sees == "" || row.Kind == "" || row.Happen == nil {
			t.Errorf("row %q is there twice, or says too little", row.Name)
		}
		seen[row.Name] = true
		if !strings.Contains(out.String(), row.Title) {
			t.Errorf("the list lacks %s", row.Name)
		}
	}
}

func TestSeeds(t *testing.T) {
	kill, change := rows.Row{Kind: rows.Kill}, rows.Row{Kind: rows.Change}
	for _, test := range []struct {
		o           options
		row         rows.Row
		first, last uint64
	}{
		{options{}, kill, 1, 20},
		{options{}, change, 1, 5},
		{options{seeds: 3}, kill, 1, 3},
		{options{seed: 7}, kill, 7, 7},
		{options{seed: 7, seeds: 2}, kill, 7, 8},
	} {
		if seeds := test.o.seedsOf(test.row); seeds[0] != test.first || seeds[len(seeds)-1] != test.last {
			t.Errorf("%+v: %v", test, seeds)
		}
	}
}

func TestAllLanesHaveSeenEveryFaultBeforeTheSecondSeedOfAny(t *testing.T) {
	kill, change := rows.Row{Name: "K", Kind: rows.Kill}, rows.Row{Name: "C", Kind: rows.Change}
	before := []results.Run{{Commit: "now", Fault: "K", Seed: 2}, {Commit: "before", Fault: "C", Seed: 1}}
	var got []string
	for _, next := range (&options{seeds: 3}).jobs([]rows.Row{kill, change}, before, "now") {
		got = append(got, fmt.Sprint(next.row.Name, next.seed))
	}
	if want := []string{"K1", "C1", "C2", "K3", "C3"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
