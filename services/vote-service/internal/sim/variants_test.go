package sim

import (
	"fmt"
	"testing"
)

// A seed is the same schedule each time, wherever it stands in a run.
func TestASeedRepeats(t *testing.T) {
	for seed := range uint64(10) {
		first, again := run(t, seed, variant{}, true), run(t, seed, variant{}, true)
		if first.hash == again.hash {
			continue
		}
		for i := range min(len(first.trace), len(again.trace)) {
			if first.trace[i] != again.trace[i] {
				t.Errorf("seed %d differs in line %d:\n%s\n%s", seed, i, first.trace[i], again.trace[i])
				break
			}
		}
	}
}

// enough schedules find each of them out; most need a few.
const enough = 1000

// The simulation finds stores out that leave a rule out.
func TestSimFindsWrongStores(t *testing.T) {
	for name, wrong := range map[string]variant{
		"no-batch-ids":        {tables: wrong{noBatchIDs: true}},
		"apply-ignores-epoch": {tables: wrong{anyEpoch: true}},
		"no-offset-check":     {tables: wrong{noOffsetCheck: true}},
		"no-cap":              {tables: wrong{noCap: true}},
		"no-voter-limit":      {tables: wrong{noVoterLimit: true}},
		"offset-first":        {offsetFirst: true},
		"no-replid":           {sameReplid: true},
		"no-record-switch":    {noSwitch: true},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(enough) {
				if r := run(t, seed, wrong, false); len(r.broken) > 0 {
					t.Log(fmt.Sprintf("seed %d: ", seed), r.broken[0])
					return
				}
			}
			t.Errorf("not found out in %d schedules", enough)
		})
	}
}
