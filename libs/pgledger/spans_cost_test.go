package pgledger

import (
	"testing"

	"github.com/jackc/pgx/v5"
)

// Statements of a caller who is not traced cost nothing more.
func TestStatementsCostNothingWithoutASpan(t *testing.T) {
	var s statements
	batch := &pgx.Batch{}
	batch.Queue("SELECT 1")
	ctx := t.Context()
	if allocs := testing.AllocsPerRun(100, func() {
		s.TraceQueryEnd(s.TraceQueryStart(ctx, nil, pgx.TraceQueryStartData{SQL: "SELECT 1"}), nil, pgx.TraceQueryEndData{})
		s.TraceBatchEnd(s.TraceBatchStart(ctx, nil, pgx.TraceBatchStartData{Batch: batch}), nil, pgx.TraceBatchEndData{})
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
