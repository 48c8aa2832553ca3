package redisledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// maxWaiting bounds what a Cut has to read of an outbox.
const maxWaiting = 1000

// ErrManyWaiting says that so many batches stand in the outbox that a cut would hold Redis for too long.
var ErrManyWaiting = errors.New("redisledger: too many batches in the outbox for a cut")

// Cut is a ballot at one moment, exactly: the tally holds every admission up to Admissions, and the counts it was loaded
// with, but not those in Waiting.
type Cut struct {
	At         time.Time // Redis TIME
	Admissions int64     // the last admission number
	Tally      map[string]int64
	Waiting    []Waiting
}

// Waiting is a batch that stood in the outbox.
type Waiting struct {
	Batch uuid.UUID
	First int64 // admission number of its first vote …
	Votes int   // … and how many were accepted
}

// Cut reads tally, admissions and outbox in one act.
func (l *Ledger) Cut(ctx context.Context, f Fence, ballot string) (Cut, error) {
	k := f.Keys(ballot)
	r := l.one(ctx, call{
		cutScript,
		[]string{k.marker(), k.tally(), k.outbox(), k.outboxTimes()},
		[]any{f.Epoch, maxWaiting},
	})
	if r.err != nil {
		return Cut{}, r.err
	}
	if r.word == "MANY" {
		return Cut{}, ErrManyWaiting
	}
	last, err := parseInt(r.rest[1])
	if err != nil {
		return Cut{}, err
	}
	counts, err := allCounts(r.rest[2].([]any), nil)
	if err != nil {
		return Cut{}, err
	}
	c := Cut{At: time.UnixMilli(r.rest[0].(int64)), Admissions: last, Tally: make(map[string]int64, len(counts))}
	for _, n := range counts {
		c.Tally[n.Name] = n.Votes
	}
	waiting := r.rest[3].([]any)
	for i := 0; i+1 < len(waiting); i += 2 {
		id, err := uuid.FromBytes([]byte(waiting[i].(string)))
		if err != nil {
			return Cut{}, fmt.Errorf("redisledger: batch id in the outbox: %w", err)
		}
		v, err := parseVerdict(waiting[i+1].(string))
		if err != nil {
			return Cut{}, err
		}
		c.Waiting = append(c.Waiting, Waiting{Batch: id, First: v.First, Votes: v.Accepted()})
	}
	return c, nil
}

// KeyState is what Redis remembers of an idempotency key.
type KeyState string

// What a key may be. Absent proves nothing about a key that came before the window, or before the epoch.
const (
	KeyAbsent  KeyState = "ABSENT"
	KeyPending KeyState = "PENDING" // admitted, and its batch is not yet settled
	KeySettled KeyState = "SETTLED"
)

// KeyStatus looks a key up, and the batch it was admitted with.
func (l *Ledger) KeyStatus(ctx context.Context, f Fence, ballot string, key uuid.UUID) (KeyState, uuid.UUID, error) {
	k := f.Keys(ballot)
	r := l.one(ctx, call{
		keyScript,
		[]string{k.marker(), k.outbox(), k.seen()},
		[]any{f.Epoch, key[:], KeySlice.Milliseconds(), KeyTTL.Milliseconds()},
	})
	if r.err != nil {
		return "", uuid.Nil, r.err
	}
	if len(r.rest) == 0 {
		return KeyState(r.word), uuid.Nil, nil
	}
	batch, err := uuid.FromBytes([]byte(r.rest[0].(string)))
	return KeyState(r.word), batch, err
}
