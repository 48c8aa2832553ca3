package redisledger

import "testing"

// Calls of a caller who is not traced cost nothing more.
func TestCallsCostNothingWithoutASpan(t *testing.T) {
	ctx := t.Context()
	calls, cmds := []call{{script: settleScript}, {script: admitScript}}, make([]once, 2)
	if allocs := testing.AllocsPerRun(100, func() {
		_, span := startCalls(ctx, calls)
		endCalls(span, cmds)
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
