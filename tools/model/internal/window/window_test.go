package window_test

import (
	"testing"

	"github.com/littlevote/littlevote/tools/model/internal/explore"
	"github.com/littlevote/littlevote/tools/model/internal/window"
)

// enough states are explored here; "go run ./tools/model" goes on to the end.
const enough = 500_000

func TestAKeyCountsOnce(t *testing.T) {
	t.Parallel()
	if r := explore.Run(window.New(), enough); r.Broken != "" {
		t.Fatalf("%s: %s", r.Broken, r.Trace)
	}
}

func TestEveryRuleIsNeeded(t *testing.T) {
	for i, about := range window.Rules {
		t.Run(about.Name, func(t *testing.T) {
			t.Parallel()
			r := explore.Run(window.New(window.Rule(i)), 4_000_000)
			if r.Broken == "" {
				t.Fatalf("%s: the key still counts once, in %d states", about.What, r.States)
			}
			if testing.Verbose() {
				for i, step := range r.Trace {
					t.Logf("%3d. %s", i+1, step)
				}
			}
		})
	}
}
