package ledgermodel

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/redisledger"
)

// doneSlice names the hash of ended batches that an id belongs to.
func doneSlice(id uuid.UUID) int64 {
	sec, _ := id.Time().UnixTime()
	return sec / int64(redisledger.DoneSlice.Seconds())
}

// how says what became of a batch that is not in the outbox.
func (b *ballot) how(id uuid.UUID, now int64) redisledger.How {
	e := b.done[doneSlice(id)]
	if e == nil || now >= e.until {
		return redisledger.Unknown
	}
	return e.m[id]
}

// end takes a batch out of the outbox.
func (b *ballot) end(id uuid.UUID, how redisledger.How, now int64) {
	delete(b.outbox, id)
	slice := doneSlice(id)
	e := b.done[slice]
	if e == nil || now >= e.until {
		e = &expiring[uuid.UUID, redisledger.How]{m: map[uuid.UUID]redisledger.How{}}
		b.done[slice] = e
	}
	e.m[id] = how
	e.until = now + redisledger.DoneTTL.Milliseconds()
}

func keyBucket(key string, slice int64) bucket {
	return bucket{slice: slice, part: (int(key[14])*256 + int(key[15])) % 4096}
}

// key looks a key up.
func (b *ballot) key(key string, now int64) (seen, bool) {
	this := now / redisledger.KeySlice.Milliseconds()
	for slice := this; slice >= this-int64(redisledger.KeyTTL/redisledger.KeySlice); slice-- {
		e := b.seen[keyBucket(key, slice)]
		if e == nil || now >= e.until {
			continue
		}
		if s, ok := e.m[key]; ok {
			return s, true
		}
	}
	return seen{}, false
}

func (b *ballot) remember(key, hash []byte, batch uuid.UUID, now int64) {
	k := keyBucket(string(key), now/redisledger.KeySlice.Milliseconds())
	e := b.seen[k]
	if e == nil || now >= e.until {
		e = &expiring[string, seen]{m: map[string]seen{}}
		b.seen[k] = e
	}
	e.m[string(key)] = seen{batch: batch, hash: string(hash)}
	e.until = now + redisledger.KeyTTL.Milliseconds()
}

// Settle takes a batch out of the outbox and adds its counts, once.
func (l *Ledger) Settle(_ context.Context, s *redisledger.Settlement) redisledger.SettleReply {
	b, err := l.fenced(s.Fence, s.Ballot)
	if err != nil {
		return redisledger.SettleReply{Err: err}
	}
	r := redisledger.SettleReply{How: redisledger.Settled}
	_, waits := b.outbox[s.ID]
	if !waits && b.how(s.ID, l.ms()) == redisledger.Unknown && l.now().Sub(s.AdmittedAt) < redisledger.DoneTTL {
		b.marker.sealed = true // somebody has deleted what was known of it
		return redisledger.SettleReply{Err: redisledger.ErrWrongEpoch}
	}
	if waits {
		r.ByThis = true
		b.end(s.ID, redisledger.Settled, l.ms())
		delete(b.claims, s.ID)
		for i, name := range s.Names {
			b.tally[name] += s.Counts[i]
			b.updated[name] = s.AdmittedAt.UnixMilli()
		}
	} else {
		r.How = b.how(s.ID, l.ms())
	}
	r.Totals = make([]int64, len(s.Names))
	for i, name := range s.Names {
		r.Totals[i] = b.tally[name]
	}
	return r
}

// Claim takes over a batch.
func (l *Ledger) Claim(
	_ context.Context, f redisledger.Fence, name string, id uuid.UUID, _ string,
) (*redisledger.Claimed, redisledger.How, error) {
	b, err := l.fenced(f, name)
	if err != nil {
		return nil, redisledger.Unknown, err
	}
	e, ok := b.outbox[id]
	if !ok {
		return nil, b.how(id, l.ms()), nil
	}
	b.claims[id] = true
	return &redisledger.Claimed{Verdict: e.verdict, Payload: e.payload}, redisledger.Unknown, nil
}

// Remember keeps the keys of a claimed batch from now on.
func (l *Ledger) Remember(_ context.Context, f redisledger.Fence, name string, id uuid.UUID, keysAndHashes [][]byte) error {
	b, err := l.fenced(f, name)
	if err != nil {
		return err
	}
	if _, ok := b.outbox[id]; ok {
		for i := 0; i+1 < len(keysAndHashes); i += 2 {
			b.remember(keysAndHashes[i], keysAndHashes[i+1], id, l.ms())
		}
	}
	return nil
}

// Refund gives back what a batch took, unless somebody has claimed it.
func (l *Ledger) Refund(
	_ context.Context, f redisledger.Fence, batch *redisledger.Batch, v *redisledger.Verdict,
) (ok bool, err error) {
	b, err := l.fenced(f, batch.Ballot)
	if err != nil {
		return false, err
	}
	if _, ok := b.outbox[batch.ID]; !ok || b.claims[batch.ID] {
		return false, nil
	}
	b.end(batch.ID, redisledger.Refunded, l.ms())
	uses := int64(v.Accepted())
	for i := range batch.Entries {
		if e := &batch.Entries[i]; v.Entries[i].Code == redisledger.OK {
			b.giveBack(e, v.At.UnixMilli())
			if retraction(e) {
				uses--
			}
		}
	}
	if t := b.ticket; t != nil && t.version == v.TicketVersion && t.left != redisledger.NoCap {
		t.left += uses
	}
	return true, nil
}

// giveBack forgets a vote.
func (b *ballot) giveBack(e *redisledger.Entry, admitted int64) {
	if len(e.Key) > 0 {
		if bucket := b.seen[keyBucket(string(e.Key), admitted/redisledger.KeySlice.Milliseconds())]; bucket != nil {
			delete(bucket.m, string(e.Key))
		}
	}
	if e.Voter != "" {
		at := b.field(e, admitted)
		s := b.voters[at]
		s.votes = without(s.votes, e.VoteID)
		if e.Retracts != uuid.Nil {
			s.votes = append(s.votes, e.Retracts)
		}
		b.voters[at] = s
	}
}

// Due lists batches that stand in the outbox for longer than lease, and the age of the oldest.
func (l *Ledger) Due(
	_ context.Context, f redisledger.Fence, name string, lease time.Duration, limit int,
) ([]uuid.UUID, time.Duration, error) {
	b, err := l.fenced(f, name)
	if err != nil {
		return nil, 0, err
	}
	now, age, due := l.ms(), int64(-1), []uuid.UUID{}
	for i, id := range b.waiting() {
		old := now - b.outbox[id].at
		if i == 0 {
			age = old
		}
		if old >= lease.Milliseconds() && len(due) < limit {
			due = append(due, id)
		}
	}
	return due, time.Duration(age) * time.Millisecond, nil
}

// Tally reads counts, of the names given or of all.
func (l *Ledger) Tally(
	_ context.Context, f redisledger.Fence, name string, names []string,
) ([]redisledger.Count, time.Time, error) {
	b, err := l.fenced(f, name)
	if err != nil {
		return nil, time.Time{}, err
	}
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(b.tally))
	}
	counts := make([]redisledger.Count, len(names))
	for i, n := range names {
		counts[i] = redisledger.Count{Name: n, Votes: b.tally[n]}
		if at, ok := b.updated[n]; ok {
			counts[i].UpdatedAt = time.UnixMilli(at)
		}
	}
	return counts, time.UnixMilli(l.ms()), nil
}

// Cut reads tally, admissions and outbox in one act.
func (l *Ledger) Cut(_ context.Context, f redisledger.Fence, name string) (redisledger.Cut, error) {
	b, err := l.fenced(f, name)
	if err != nil {
		return redisledger.Cut{}, err
	}
	c := redisledger.Cut{At: time.UnixMilli(l.ms()), Admissions: b.marker.admissions, Tally: maps.Clone(b.tally)}
	for _, id := range b.waiting() {
		v := b.outbox[id].verdict
		c.Waiting = append(c.Waiting, redisledger.Waiting{Batch: id, First: v.First, Votes: v.Accepted()})
	}
	return c, nil
}

// KeyStatus looks a key up.
func (l *Ledger) KeyStatus(
	_ context.Context, f redisledger.Fence, name string, key uuid.UUID,
) (redisledger.KeyState, uuid.UUID, error) {
	b, err := l.fenced(f, name)
	if err != nil {
		return "", uuid.Nil, err
	}
	s, ok := b.key(string(key[:]), l.ms())
	if !ok {
		return redisledger.KeyAbsent, uuid.Nil, nil
	}
	if _, waits := b.outbox[s.batch]; waits {
		return redisledger.KeyPending, s.batch, nil
	}
	return redisledger.KeySettled, s.batch, nil
}
