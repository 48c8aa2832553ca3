package live

import (
	"time"

	"github.com/littlevote/littlevote/gateway/graph/model"
	"github.com/littlevote/littlevote/gateway/internal/reads"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
)

// board is how a ballot stands, and what of it changed when.
type board struct {
	ballot Ballot
	places []place
	index  map[string]int // of a candidate in places
	number int64          // of the newest state; 0: nothing was read yet
	differ int64          // who has an older state needs an update
	anew   int64          // who has an older state needs a snapshot
	asOf   time.Time
	stale  bool

	made map[int64]*model.TallyUpdate // the update to number from each older one, shared; forgotten when number rises
}

// place is one candidate's count.
type place struct {
	name    string
	votes   int64
	updated string
	changed int64 // the number of the state in which it became so
}

// never is the updatedAt of a candidate that nobody voted for.
const never = "1970-01-01T00:00:00Z"

// maxShared bounds how many updates are remembered of one state: nearly all subscribers are at one of the last two.
const maxShared = 16

// take brings the board up to what was read. It reports whether anything is different.
func (b *board) take(tally *queryv1.Tally) bool {
	asOf := tally.GetAsOf().AsTime()
	next := b.after(asOf)
	changed := b.number == 0 || b.stale != tally.GetStale()
	if !b.sameNames(tally.GetCounts()) {
		changed = true
		b.rebuild(tally.GetCounts(), next)
	}
	for i, count := range tally.GetCounts() {
		p := &b.places[i]
		if votes := count.GetVotes(); p.changed == 0 || p.votes != votes {
			p.votes, p.updated, p.changed = votes, updatedAt(count), next
			changed = true
		}
	}
	b.asOf, b.stale = asOf, tally.GetStale()
	if changed {
		b.advance(next)
		b.differ = next
	}
	return changed
}

// after is the number of a state that was read at a time.
func (b *board) after(asOf time.Time) int64 { return max(b.number+1, asOf.UnixMicro()) }

func (b *board) advance(number int64) {
	b.number = number
	b.made = make(map[int64]*model.TallyUpdate)
}

// renumber gives the same state the number that its newest reading has: for somebody who comes from another gateway, and
// has seen what that one has numbered.
func (b *board) renumber() {
	if next := b.asOf.UnixMicro(); next > b.number {
		b.advance(next)
	}
}

// outdate marks the state as stale; it reports whether that is new.
func (b *board) outdate() bool {
	if b.number == 0 || b.stale {
		return false
	}
	b.stale = true
	b.advance(b.number + 1)
	b.differ = b.number
	return true
}

func (b *board) sameNames(counts []*queryv1.Count) bool {
	if len(counts) != len(b.places) {
		return false
	}
	for i, count := range counts {
		if b.places[i].name != count.GetCandidate() {
			return false
		}
	}
	return true
}

// rebuild takes over new names. Where one is gone, nobody can be told so by changes alone.
func (b *board) rebuild(counts []*queryv1.Count, number int64) {
	places := make([]place, len(counts))
	index := make(map[string]int, len(counts))
	kept := 0
	for i, count := range counts {
		places[i].name = count.GetCandidate()
		if at, known := b.index[places[i].name]; known {
			places[i] = b.places[at]
			kept++
		}
		index[places[i].name] = i
	}
	if kept < len(b.places) {
		b.anew = number
	}
	b.places, b.index = places, index
}

func updatedAt(count *queryv1.Count) string {
	if count.GetUpdatedAt() == nil {
		return never
	}
	return count.GetUpdatedAt().AsTime().UTC().Format(reads.TimeFormat)
}

// update is what somebody needs who has the state with a number; all of it where that is 0.
func (b *board) update(since int64) *model.TallyUpdate {
	if since < b.anew {
		since = 0
	}
	if made := b.made[since]; made != nil {
		return made
	}
	asOf := b.asOf.UTC().Format(reads.TimeFormat)
	u := &model.TallyUpdate{
		Ballot: b.ballot.ID, Number: b.number, Snapshot: since == 0, Stale: b.stale, AsOf: asOf, Counts: []*model.UserVote{},
	}
	for i := range b.places {
		p := &b.places[i]
		if p.changed > since {
			u.Counts = append(u.Counts, &model.UserVote{
				Ballot: b.ballot.ID, Username: p.name, Count: p.votes, UpdatedAt: p.updated, Stale: b.stale, AsOf: asOf,
			})
		}
	}
	if len(b.made) < maxShared {
		b.made[since] = u
	}
	return u
}
