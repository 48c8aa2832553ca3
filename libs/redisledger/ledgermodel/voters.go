package ledgermodel

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/redisledger"
)

// field is what a voter's state stands under.
type field struct {
	voter     string
	candidate string // where the limit is per candidate
	period    int64  // where there are any
}

// retraction says that the entry only takes a vote back.
func retraction(e *redisledger.Entry) bool { return e.Retracts != uuid.Nil && !e.Replaces }

// without returns a copy of the votes without one of them.
func without(votes []uuid.UUID, vote uuid.UUID) []uuid.UUID {
	votes = slices.Clone(votes)
	if i := slices.Index(votes, vote); i >= 0 {
		votes = slices.Delete(votes, i, i+1)
	}
	return votes
}

// field returns where the state is that an entry of a batch changes, which was admitted at a time.
func (b *ballot) field(e *redisledger.Entry, admitted int64) field {
	at := b.fieldOf(e.Voter, e.Candidate, admitted)
	if b.marker.period > 0 && retraction(e) {
		at.period = e.Period
	}
	return at
}

func (b *ballot) fieldOf(voter, candidate string, at int64) field {
	f := field{voter: voter}
	if b.marker.perCandidate {
		f.candidate = candidate
	}
	if b.marker.period > 0 {
		f.period = at / b.marker.period
	}
	return f
}

// text is how the scripts write a field.
func (b *ballot) text(f field) string {
	text := f.voter
	if b.marker.perCandidate {
		text += "\x00" + f.candidate
	}
	if b.marker.period > 0 {
		text += "\x00" + strconv.FormatInt(f.period, 10)
	}
	return text
}

// madeAtMs is when an item was made, by its id.
func madeAtMs(candidate string) (ms int64, item bool) {
	if len(candidate) != 16 || strings.Trim(candidate, "0123456789") != "" {
		return 0, false
	}
	id, err := strconv.ParseInt(candidate, 10, 64)
	return id >> 12, err == nil
}

// absentIsNone says that a voter of whom nothing is known has no votes.
func (b *ballot) absentIsNone(candidate string, now int64) bool {
	m := &b.marker
	if m.loaded == 0 && !m.evicted {
		return true
	}
	made, item := madeAtMs(candidate)
	return item && m.hotFor > 0 && m.hotFrom != nil && made >= *m.hotFrom && now-made < m.hotFor
}

// evictAfter is how old a batch must be before the state that it changed may go.
const evictAfter = redisledger.ClockBound + 5*redisledger.LookUpHolds

// cold says that a state need not be kept.
func (b *ballot) cold(f field, now int64) bool {
	s, known := b.voters[f]
	if _, waits := b.outbox[s.last]; !known || waits || now-madeAt(s.last[:]) < evictAfter.Milliseconds() {
		return false
	}
	if b.marker.period > 0 {
		return f.period < now/b.marker.period
	}
	made, item := madeAtMs(f.candidate)
	return b.marker.hotFor > 0 && (!item || now-made >= b.marker.hotFor)
}

func (b *ballot) loadVoters(ctx context.Context, r redisledger.Ballot) error {
	m := &b.marker
	if m.hotFrom == nil || *m.hotFrom == 0 || r.HotVotes == nil {
		return nil
	}
	var last field
	err := r.HotVotes(ctx, redisledger.ItemID(time.UnixMilli(*m.hotFrom)), func(voter, candidate string, vote uuid.UUID) error {
		last = b.fieldOf(voter, candidate, 0)
		s := b.voters[last]
		s.votes = append(s.votes, vote)
		b.voters[last] = s
		return nil
	})
	if !errors.Is(err, redisledger.ErrNotAll) {
		return err
	}
	delete(b.voters, last) // who may have more
	m.hotFrom = nil
	if made, item := madeAtMs(last.candidate); item {
		made++
		m.hotFrom = &made
	}
	return nil
}

// Voted says for each candidate whether the voter has a vote for it; without any, whether in the ballot.
func (l *Ledger) Voted(_ context.Context, f redisledger.Fence, name, voter string, candidates []string) ([]redisledger.Voted, error) {
	b, err := l.fenced(f, name)
	if err != nil {
		return nil, err
	}
	if len(candidates) == 0 {
		candidates = []string{""}
	}
	list := make([]redisledger.Voted, len(candidates))
	for i, c := range candidates {
		s := b.look(voter, c, l.ms())
		v := redisledger.Voted{Known: s.Known, Voted: len(s.Votes) > 0, Pending: s.Pending}
		switch oneOfMany := c != ""; {
		case b.marker.perCandidate && !oneOfMany, !b.marker.perCandidate && oneOfMany && v.Voted:
			v = redisledger.Voted{}
		case b.marker.period > 0 && !v.Voted:
			v.Known = false
		}
		list[i] = v
	}
	return list, nil
}

// look returns what is known of a voter now.
func (b *ballot) look(voter, candidate string, now int64) redisledger.VoterState {
	at := b.fieldOf(voter, candidate, now)
	state := redisledger.VoterState{Period: at.period}
	s, ok := b.voters[at]
	if ok || b.absentIsNone(candidate, now) {
		state.Known, state.Votes = true, append([]uuid.UUID{}, s.votes...)
		_, state.Pending = b.outbox[s.last]
	}
	return state
}

// VoterState reads what is known of a voter.
func (l *Ledger) VoterState(_ context.Context, f redisledger.Fence, name, voter, candidate string) (redisledger.VoterState, error) {
	b, err := l.fenced(f, name)
	if err != nil {
		return redisledger.VoterState{}, err
	}
	return b.look(voter, candidate, l.ms()), nil
}

// ColdVoters lists states that need not be kept, in one go.
func (l *Ledger) ColdVoters(
	_ context.Context, f redisledger.Fence, name string, _ uint64, _ int,
) (cold []redisledger.ColdVoter, next uint64, err error) {
	b, err := l.fenced(f, name)
	if err != nil {
		return nil, 0, err
	}
	now := l.ms()
	for at, s := range b.voters {
		if b.cold(at, now) {
			cold = append(cold, redisledger.ColdVoter{Field: b.text(at), Batch: s.last})
		}
	}
	slices.SortFunc(cold, func(x, y redisledger.ColdVoter) int {
		return cmp.Or(cmp.Compare(x.Field, y.Field), bytes.Compare(x.Batch[:], y.Batch[:]))
	})
	return cold, 0, nil
}

// EvictVoters drops states that are cold and as they were seen.
func (l *Ledger) EvictVoters(_ context.Context, f redisledger.Fence, name string, cold []redisledger.ColdVoter) (int64, error) {
	if len(cold) == 0 {
		return 0, nil
	}
	b, err := l.fenced(f, name)
	if err != nil {
		return 0, err
	}
	now, evicted := l.ms(), int64(0)
	for _, c := range cold {
		for at, s := range maps.Clone(b.voters) {
			if b.text(at) == c.Field && s.last == c.Batch && b.cold(at, now) {
				delete(b.voters, at)
				evicted++
			}
		}
	}
	if m := &b.marker; evicted > 0 {
		m.evicted = true
		if m.hotFrom != nil && m.hotFor > 0 {
			from := max(*m.hotFrom, now-m.hotFor+1)
			m.hotFrom = &from
		}
	}
	return evicted, nil
}

// SetCounts makes these the only counts of a ballot that is closed and drained, as of an admission number.
func (l *Ledger) SetCounts(
	_ context.Context, f redisledger.Fence, name string, admissions int64, counts []redisledger.Count,
) error {
	b, err := l.fenced(f, name)
	if err != nil {
		return err
	}
	if b.marker.state != "closed" && b.marker.state != "certified" || len(b.outbox) > 0 {
		return redisledger.ErrNotDrained
	}
	if admissions < b.marker.admissions {
		return nil
	}
	b.marker.admissions = admissions
	b.tally, b.updated = map[string]int64{}, map[string]int64{}
	for _, c := range counts {
		b.tally[c.Name], b.updated[c.Name] = c.Votes, c.UpdatedAt.UnixMilli()
	}
	return nil
}
