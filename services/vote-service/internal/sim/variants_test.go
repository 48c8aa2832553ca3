package sim

import (
	"fmt"
	"testing"
)

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
