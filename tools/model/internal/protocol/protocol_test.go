package protocol_test

import (
	"slices"
	"testing"

	"github.com/littlevote/littlevote/libs/faultpoint"
	"github.com/littlevote/littlevote/tools/model/internal/explore"
	"github.com/littlevote/littlevote/tools/model/internal/protocol"
	"github.com/littlevote/littlevote/tools/model/internal/window"
)

// enough states of each scenario are explored here; "go run ./tools/model" goes on to the end.
const enough = 50_000

func scenario(t *testing.T, name string) protocol.Scenario {
	t.Helper()
	for _, s := range protocol.Scenarios {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no scenario %q", name)
	return protocol.Scenario{}
}

func tell(t *testing.T, r explore.Result[protocol.State, protocol.Step]) {
	t.Helper()
	t.Log(r.Broken)
	for i, step := range r.Trace {
		t.Logf("%3d. %s", i+1, step)
	}
}

func TestPromisesHold(t *testing.T) {
	for _, s := range protocol.Scenarios {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			r := explore.Run(protocol.New(s), enough)
			if r.Broken != "" {
				tell(t, r)
				t.Fail()
			}
			if r.Rests == 0 && r.Complete {
				t.Error("nothing ever comes to rest")
			}
		})
	}
}

// Each rule is there for something: without it a promise breaks.
func TestEveryRuleIsNeeded(t *testing.T) {
	for i, about := range protocol.Rules {
		if about.Scenario == "" {
			continue // a second lock
		}
		t.Run(about.Name, func(t *testing.T) {
			t.Parallel()
			r := explore.Run(protocol.New(scenario(t, about.Scenario), protocol.Rule(i)), 1_000_000)
			if r.Broken == "" {
				t.Fatalf("%s: no promise breaks within %d states", about.What, r.States)
			}
			if testing.Verbose() {
				tell(t, r)
			}
		})
	}
}

// H19: the second lock holds when the first is open, and what breaks without both is another promise.
func TestCertifiedResultHasTwoLocks(t *testing.T) {
	first, _ := protocol.ByName("certify-ignores-outbox")
	second, _ := protocol.ByName("apply-ignores-certified")
	r := explore.Run(protocol.New(scenario(t, "certify"), first, second), enough)
	if r.Broken != "G6: a certified result changes" {
		t.Fatalf("%q", r.Broken)
	}
}

// The known-wrong variants of the code and the rules of the models are the same. What the models do not have, tests and faults alone
// watch: several candidates or periods of a voter, changes, evictions, voids, several votes in a batch, keys that are gone, a process
// that stands still between two lines, a restore from a backup, and who may see what.
func TestVariantsOfTheCodeAreRulesHere(t *testing.T) {
	elsewhere := []string{
		"state-without-candidate", "state-without-period", "change-keeps-old", "evict-young", "eviction-unmarked", "void-twice",
		"own-batch-decides", "hidden-shown", "tenant-ignored", "evicting-redis", "parts-may-go", "stall-ignored", "drops-forgotten", "directory-trusted",
	}
	for _, v := range faultpoint.Mutants {
		if slices.Contains(elsewhere, v.Name) {
			continue
		}
		hole := ""
		if r, ok := protocol.ByName(v.Name); ok {
			hole = protocol.Rules[r].Hole
		}
		if r, ok := window.ByName(v.Name); ok {
			hole = window.Rules[r].Hole
		}
		if hole != v.Hole {
			t.Errorf("%s guards %q here and %s in the code", v.Name, hole, v.Hole)
		}
	}
}
