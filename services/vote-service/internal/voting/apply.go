package voting

import (
	"context"

	"github.com/littlevote/littlevote/libs/pgledger"
)

// apply brings a batch into the ledger by itself, without the log.
func (e *Engine) apply(ctx context.Context, n *batch) (pgledger.Verdict, error) {
	result, err := pgledger.Apply(ctx, e.pool, pgledger.Batch{Events: []pgledger.Event{{VoteBatch: n.record}}})
	if err != nil {
		return 0, err
	}
	return result.Verdicts[0], nil
}
