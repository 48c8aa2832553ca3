package reconcile

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/faultpoint"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
)

// clockSlack is how far the clock of admission may have been set back within an epoch before old rows are read once more.
const clockSlack = time.Minute

// rows reads the ledger of the epoch: what was admitted after one number and up to another, and not before a moment.
type rows func(ctx context.Context, after, upTo int64, since time.Time) ([]pgledger.CutRow, error)

// verified is how far a ballot's tally is known to be right.
type verified struct {
	sums  map[string]int64 // of everything up to …
	upTo  int64            // … this admission number, all of which is final
	since time.Time        // before which nothing above that number was admitted
	last  redisledger.Cut
}

// difference is a count that is wrong.
type difference struct {
	name          string
	redis, ledger int64
}

// compare finds what differs at a cut, given that everything up to it is in the ledger; without a difference it moves v on.
func (v *verified) compare(ctx context.Context, cut redisledger.Cut, read rows) ([]difference, error) {
	if faultpoint.Mutant("reconcile-live") {
		cut.Waiting = nil
	}
	final, waiting := cut.Admissions, map[uuid.UUID]bool{}
	for _, w := range cut.Waiting {
		if w.Votes > 0 {
			final = min(final, w.First-1)
			waiting[w.Batch] = true
		}
	}
	since := v.since
	if !since.IsZero() {
		since = since.Add(-clockSlack)
	}
	sums := maps.Clone(v.sums)
	if err := add(ctx, sums, nil, read, v.upTo, final, since); err != nil {
		return nil, err
	}
	want := maps.Clone(sums)
	if err := add(ctx, want, waiting, read, final, cut.Admissions, since); err != nil {
		return nil, err
	}
	if differ := differences(cut.Tally, want); len(differ) > 0 {
		return differ, nil
	}
	v.moveOn(cut, final, sums)
	return nil, nil
}

func add(
	ctx context.Context, sums map[string]int64, without map[uuid.UUID]bool, read rows, after, upTo int64, since time.Time,
) error {
	if after >= upTo {
		return nil
	}
	found, err := read(ctx, after, upTo, since)
	if err != nil {
		return err
	}
	for _, row := range found {
		if !without[row.Batch] {
			sums[row.Username] += row.Votes
		}
	}
	return nil
}

func (v *verified) moveOn(cut redisledger.Cut, final int64, sums map[string]int64) {
	switch {
	case final == cut.Admissions:
		v.since = cut.At
	case !v.last.At.IsZero() && v.last.Admissions <= final:
		v.since = v.last.At
	}
	v.sums, v.upTo, v.last = sums, final, cut
}

// differences compares counts by name; whoever has none has 0.
func differences(tally, ledger map[string]int64) []difference {
	names := map[string]bool{}
	for name := range tally {
		names[name] = true
	}
	for name := range ledger {
		names[name] = true
	}
	var differ []difference
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if tally[name] != ledger[name] {
			differ = append(differ, difference{name, tally[name], ledger[name]})
		}
	}
	return differ
}
