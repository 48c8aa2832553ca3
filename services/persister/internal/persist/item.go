package persist

import (
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"

	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/pgledger"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

// itemBytes is what a record takes in memory beside its value, at least.
const itemBytes = 512

// item is a record on its way through this process.
type item struct {
	part    *part
	record  *kgo.Record
	batch   *eventv1.VoteBatch // nil if the record is not ours
	foreign error              // why it is not ours
	lost    pgledger.Verdict   // what the log says of a batch that had no effect
	dead    bool               // stands in the dead-letter topic
	pending <-chan error       // the answer to the last attempt to put it there, while that is outstanding
	span    trace.Span         // nil unless the batch is traced
	tries   int                // transactions that it was in
}

func (i *item) decode() { i.batch, i.foreign = events.Decode(i.record.Value) }

// weight is never more than all the room there is, so that every record gets in.
func (s *session) weight(i *item) int64 {
	return int64(min(itemBytes+len(i.record.Value), s.cfg.BufferBytes))
}
