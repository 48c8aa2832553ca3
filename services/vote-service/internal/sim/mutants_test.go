//go:build faults

package sim

import (
	"os"
	"os/exec"
	"testing"
)

// The simulation finds known-wrong variants of the engine and of the changes of epoch. Each is a process of its own, since
// the variant is chosen at the start.
func TestSimFindsVariants(t *testing.T) {
	for _, name := range []string{
		"answer-before-settle", "ack-before-produce", "pending-is-same", "refund-after-commit-unknown", "refund-maybe-sent",
		"no-lease-check", "no-barrier", "no-drain", "resend-refused",
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSim$")
			cmd.Env = append(os.Environ(), "LITTLEVOTE_MUTANT="+name, "LITTLEVOTE_SIM=1000")
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Error("not found out")
			}
			t.Logf("%s", out)
		})
	}
}
