package mutants_test

import (
	"testing"

	"github.com/littlevote/littlevote/libs/faultpoint"
	"github.com/littlevote/littlevote/tools/faults/internal/mutants"
)

func TestEveryVariantHasSomebodyWhoNoticesIt(t *testing.T) {
	caught := map[string]bool{}
	for _, c := range mutants.Table() {
		caught[c.Mutant] = true
		if (c.Package == "") == (c.Fault == "") || c.Package != "" && len(c.Tests) == 0 {
			t.Errorf("%s is caught by tests of a package, or by a fault: %+v", c.Mutant, c)
		}
	}
	for _, v := range faultpoint.Mutants {
		if !caught[v.Name] {
			t.Errorf("nobody notices %s", v.Name)
		}
		delete(caught, v.Name)
	}
	for name := range caught {
		t.Errorf("%s is no variant", name)
	}
}
