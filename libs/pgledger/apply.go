package pgledger

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

// Event is a batch to be applied. It has passed events.Validate.
type Event struct {
	*eventv1.VoteBatch
	// Record is set by the persister: the value of the Kafka record. If the batch has no effect, dropped_batches keeps it.
	Record []byte
	// Lost is set by the persister where the log says that the batch had no effect, EpochOver or Certified: it is applied a second
	// time, to a ledger that was restored from a backup, and has none again.
	Lost Verdict
}

// ID is the batch id.
func (e Event) ID() uuid.UUID { return uuid.UUID(e.GetBatchId()) }

// OffsetMove says that the records of a partition from From up to but not including To are in this transaction.
type OffsetMove struct {
	TopicID   uuid.UUID
	Partition int32
	From, To  int64
	// CaughtUpAt is a moment of the Postgres clock before which no record was appended that is not applied then. The zero
	// time leaves the recorded moment alone, and an earlier one does not set it back.
	CaughtUpAt time.Time
}

// Batch is what one transaction does.
type Batch struct {
	Events  []Event
	Offsets []OffsetMove // none on the fallback path
}

// Verdict is what became of one batch.
type Verdict int

// The verdicts.
const (
	Applied   Verdict = iota + 1 // took effect in this transaction
	Duplicate                    // had taken effect before, in its epoch; Result.Epoch says whether that one is still on
	EpochOver                    // its epoch is over, and it is not applied: it never will be
	Certified                    // its ballot is certified, and it is not applied: it never will be
)

// Result is what a committed transaction did.
type Result struct {
	Verdicts []Verdict // one an event
	Epoch    Epoch     // as it was during the transaction; zero if there were no events
	Rows     int       // ledger rows inserted
}

// Apply gives batches their effect and moves offsets, in one transaction: "Applying" in libs/PROTOCOL.md. It is the one code for
// the fallback of the vote-service and for the persister.
func Apply(ctx context.Context, pool *pgxpool.Pool, b Batch) (Result, error) {
	var result Result
	err := retry(ctx, func() error {
		t := &transaction{batch: b}
		err := onConnection(ctx, pool, t)
		result = t.result
		return err
	})
	if err != nil {
		return Result{}, err
	}
	return result, nil
}
