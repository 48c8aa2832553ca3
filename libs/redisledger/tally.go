package redisledger

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Count is one candidate's live count.
type Count struct {
	Name      string
	Votes     int64
	UpdatedAt time.Time // zero when nobody voted for it
}

// Tally reads the counts of the names, in their order, or of all names that were voted for, in any order.
func (l *Ledger) Tally(ctx context.Context, f Fence, ballot string, names []string) ([]Count, time.Time, error) {
	k := f.Keys(ballot)
	args := make([]any, 0, 2+len(names))
	args = append(args, f.Epoch)
	for _, n := range names {
		args = append(args, n)
	}
	r := l.one(ctx, call{readScript, []string{k.marker(), k.tally(), k.updated()}, args})
	if r.err != nil {
		return nil, time.Time{}, r.err
	}
	now, ok1 := r.rest[0].(int64)
	votes, ok2 := r.rest[1].([]any)
	times, ok3 := r.rest[2].([]any)
	if !ok1 || !ok2 || !ok3 {
		return nil, time.Time{}, fmt.Errorf("redisledger: counts are %T, %T, %T", r.rest[0], r.rest[1], r.rest[2])
	}
	if len(names) == 0 {
		counts, err := allCounts(votes, times)
		return counts, time.UnixMilli(now), err
	}
	counts := make([]Count, len(names))
	for i, n := range names {
		c, err := newCount(n, votes[i], times[i])
		if err != nil {
			return nil, time.Time{}, err
		}
		counts[i] = c
	}
	return counts, time.UnixMilli(now), nil
}

// ErrNotDrained says that a ballot is not closed, or that batches stand in its outbox.
var ErrNotDrained = errors.New("redisledger: the ballot is not closed and drained")

// SetCounts makes these the ballot's counts, all of them, as of an admission number, once it is closed and its outbox is
// empty; else ErrNotDrained, and nothing changed. Counts of an earlier number than it has change nothing.
func (l *Ledger) SetCounts(ctx context.Context, f Fence, ballot string, admissions int64, counts []Count) error {
	k := f.Keys(ballot)
	args := make([]any, 0, 2+3*len(counts))
	args = append(args, f.Epoch, admissions)
	for _, c := range counts {
		args = append(args, c.Name, c.Votes, c.UpdatedAt.UnixMilli())
	}
	r := l.one(ctx, call{recountScript, []string{k.marker(), k.outbox(), k.tally(), k.updated()}, args})
	if r.err == nil && r.word != "COUNTS" {
		return ErrNotDrained
	}
	return r.err
}

// allCounts pairs two lists of name, value, name, value ….
func allCounts(votes, times []any) ([]Count, error) {
	at := make(map[any]any, len(times)/2)
	for i := 0; i+1 < len(times); i += 2 {
		at[times[i]] = times[i+1]
	}
	counts := make([]Count, 0, len(votes)/2)
	for i := 0; i+1 < len(votes); i += 2 {
		c, err := newCount(votes[i].(string), votes[i+1], at[votes[i]])
		if err != nil {
			return nil, err
		}
		counts = append(counts, c)
	}
	return counts, nil
}

func newCount(name string, votes, at any) (Count, error) {
	c := Count{Name: name}
	if votes == nil {
		return c, nil
	}
	n, err := strconv.ParseInt(votes.(string), 10, 64)
	if err != nil {
		return c, fmt.Errorf("redisledger: count of %q: %w", name, err)
	}
	c.Votes = n
	if s, ok := at.(string); ok {
		ms, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return c, fmt.Errorf("redisledger: time of %q: %w", name, err)
		}
		c.UpdatedAt = time.UnixMilli(ms)
	}
	return c, nil
}
