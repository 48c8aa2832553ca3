//go:build !race

package sim

import "testing"

// schedules is how many are played where nobody asks for another number.
const schedules = 1000

// A seed is the same schedule each time, wherever it stands in a run. Not so under the race detector, which runs what is
// ready in an order of chance.
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
