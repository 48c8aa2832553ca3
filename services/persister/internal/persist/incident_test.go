package persist

import (
	"context"
	"errors"
	"testing"
)

// What fails is tried again, in place and for as long as it takes: three failures in a row are an incident, which ends with the
// first success. Nothing is given up.
func TestS69ThreeFailuresInARowAreAnIncident(t *testing.T) {
	w := newTown(t, 1)
	for failures := range 5 {
		p := w.prepare(w.pool)
		tried, failed := 0, errors.New("not now")
		err := p.retry(t.Context(), "apply", func(error) bool { return false }, func(context.Context) error {
			if tried == failures {
				return nil
			}
			tried++
			return failed
		})
		if err != nil || tried != failures {
			t.Errorf("after %d of %d failures: %v", tried, failures, err)
		}
		incident := failures >= incidentAfter
		if got := p.logs.has("ERROR incident what=apply error=not now failures=3"); got != incident {
			t.Errorf("%d failures are an incident: %t", failures, got)
		}
		if got := p.logs.has("INFO incident is over"); got != incident {
			t.Errorf("after %d failures and a success an incident is over: %t", failures, got)
		}
	}
}
