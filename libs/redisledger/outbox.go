package redisledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Entry of the outbox, as another instance takes it over.
type Claimed struct {
	Verdict Verdict
	Payload []byte
}

// Claim takes over a batch: only after its lease, or because a retry waits for it. A nil entry means that the batch
// left the outbox; How says how.
func (l *Ledger) Claim(ctx context.Context, f Fence, ballot string, id uuid.UUID, me string) (*Claimed, How, error) {
	k := f.Keys(ballot)
	r := l.one(ctx, call{
		claimScript,
		[]string{k.marker(), k.outbox(), k.claims(), k.done(id)},
		[]any{f.Epoch, id[:], me},
	})
	if r.err != nil {
		return nil, Unknown, r.err
	}
	if r.word == "DONE" {
		return nil, How(r.rest[0].(string)), nil
	}
	text, payload, ok := strings.Cut(r.rest[0].(string), "\n")
	if !ok {
		return nil, Unknown, errors.New("redisledger: outbox entry without payload")
	}
	v, err := parseVerdict(text)
	if err != nil {
		return nil, Unknown, err
	}
	return &Claimed{Verdict: v, Payload: []byte(payload)}, Unknown, nil
}

// Remember keeps the keys of a claimed batch from now on, as if they had been admitted now. The keys and their body
// hashes stand in turn.
func (l *Ledger) Remember(ctx context.Context, f Fence, ballot string, id uuid.UUID, keysAndHashes [][]byte) error {
	k := f.Keys(ballot)
	args := []any{f.Epoch, id[:], KeySlice.Milliseconds(), KeyTTL.Milliseconds()}
	for _, b := range keysAndHashes {
		args = append(args, b)
	}
	return l.one(ctx, call{rememberScript, []string{k.marker(), k.outbox(), k.seen()}, args}).err
}

// Refund gives back what a batch took; it must be durable nowhere, for sure. ok is false when somebody has claimed or
// settled the batch: then it may count.
func (l *Ledger) Refund(ctx context.Context, f Fence, b *Batch, v *Verdict) (ok bool, err error) {
	k := f.Keys(b.Ballot)
	uses := v.Accepted()
	var keys, voters []any
	for i := range b.Entries {
		e := &b.Entries[i]
		if v.Entries[i].Code != OK {
			continue
		}
		if len(e.Key) > 0 {
			keys = append(keys, e.Key)
		}
		if e.Voter != "" {
			var period any = ""
			if e.retraction() {
				period = e.Period
			}
			voters = append(voters, e.Voter, e.Candidate, e.VoteID[:], e.retracts(), period)
		}
		if e.retraction() {
			uses--
		}
	}
	args := slices.Concat([]any{
		f.Epoch, b.ID[:], DoneTTL.Milliseconds(), v.TicketVersion, uses,
		v.At.UnixMilli() / KeySlice.Milliseconds(), v.At.UnixMilli(), len(keys),
	}, keys, voters)
	r := l.one(ctx, call{
		refundScript,
		[]string{
			k.marker(), k.outbox(), k.outboxTimes(), k.claims(), k.done(b.ID), k.ticket(), k.seen(), k.voters(),
		},
		args,
	})
	return r.word == "REFUNDED", r.err
}

// Due lists at most limit batches that stand in a ballot's outbox for longer than lease, and the age of the oldest one
// of all (negative: the outbox is empty).
func (l *Ledger) Due(ctx context.Context, f Fence, ballot string, lease time.Duration, limit int) ([]uuid.UUID, time.Duration, error) {
	k := f.Keys(ballot)
	r := l.one(ctx, call{
		dueScript,
		[]string{k.marker(), k.outboxTimes(), k.outbox()},
		[]any{f.Epoch, lease.Milliseconds(), limit},
	})
	if r.err != nil {
		return nil, 0, r.err
	}
	age, ok := r.rest[0].(int64)
	if !ok {
		return nil, 0, fmt.Errorf("redisledger: age is %T", r.rest[0])
	}
	ids := make([]uuid.UUID, 0, len(r.rest)-1)
	for _, v := range r.rest[1:] {
		id, err := uuid.FromBytes([]byte(v.(string)))
		if err != nil {
			return nil, 0, fmt.Errorf("redisledger: batch id in the outbox: %w", err)
		}
		ids = append(ids, id)
	}
	return ids, time.Duration(age) * time.Millisecond, nil
}
