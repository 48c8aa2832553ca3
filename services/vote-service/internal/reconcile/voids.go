package reconcile

import (
	"context"
	"errors"
	"fmt"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
)

// showVoids brings Redis the voids that it has not heard of, since whoever approved them died before that. It is no drift: what
// a void takes out stands in the ledger under an admission number that is higher than all that Redis has given.
func (r *Reconciler) showVoids(ctx context.Context, cuts map[string]redisledger.Cut) error {
	names, err := pgledger.VoidedBallots(ctx, r.Pool)
	if err != nil {
		return err
	}
	for _, name := range names {
		cut, ok := cuts[name]
		if !ok {
			continue
		}
		admissions, counts, err := pgledger.VoidedCounts(ctx, r.Pool, name)
		if err != nil {
			return err
		}
		if admissions <= cut.Admissions {
			continue
		}
		err = r.Redis.SetCounts(ctx, r.ledger.Fence(), name, admissions, counts)
		if err != nil && !errors.Is(err, redisledger.ErrWrongEpoch) {
			return fmt.Errorf("reconcile: set the counts of %s: %w", name, err)
		}
		r.Log.InfoContext(ctx, "a ballot's counts in Redis follow its voids", "ballot", name)
	}
	return nil
}
