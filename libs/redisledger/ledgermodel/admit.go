package ledgermodel

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/redisledger"
)

// Admit settles one batch and decides another; either may be nil.
func (l *Ledger) Admit(
	ctx context.Context, f redisledger.Fence, batch *redisledger.Batch, outboxBound int, settle *redisledger.Settlement,
) (redisledger.Admitted, redisledger.SettleReply) {
	var (
		admitted redisledger.Admitted
		settled  redisledger.SettleReply
	)
	if settle != nil {
		settled = l.Settle(ctx, settle)
	}
	if batch != nil {
		admitted.Verdict, admitted.Err = l.admit(f, batch, outboxBound)
	}
	return admitted, settled
}

// admission is one call of admit at work.
type admission struct {
	*ballot

	batch    *redisledger.Batch
	now      int64
	refused  redisledger.Code // what speaks against every new vote; empty: nothing
	ticket   *ticket
	left     int64
	taken    int64
	accepted int64
	fresh    map[string]bool // new names
	voters   map[field]voter // as this batch changes them
	lookedUp map[field]voter // as some entry of this batch brings them
	keys     []*redisledger.Entry
}

func (l *Ledger) admit(f redisledger.Fence, batch *redisledger.Batch, outboxBound int) (redisledger.Verdict, error) {
	b, err := l.fenced(f, batch.Ballot)
	if err != nil {
		return redisledger.Verdict{}, err
	}
	now := l.ms()
	if e, ok := b.outbox[batch.ID]; ok {
		return e.verdict, nil
	}
	if how := b.how(batch.ID, now); how != redisledger.Unknown {
		return redisledger.Verdict{}, fmt.Errorf("ledgermodel: batch is done already (%s)", how)
	}
	a := &admission{ballot: b, batch: batch, now: now, fresh: map[string]bool{}, voters: map[field]voter{}, lookedUp: map[field]voter{}}
	a.refused = a.closedBy(outboxBound)
	v := redisledger.Verdict{At: time.UnixMilli(now)}
	if b.marker.ticketless {
		a.left = redisledger.NoCap
	} else if len(batch.Tickets) > 0 {
		if a.ticket = b.current(now); a.ticket != nil {
			a.left = a.ticket.left
			v.TicketVersion = a.ticket.version
		}
	}
	for _, g := range batch.Groups {
		v.Groups = append(v.Groups, a.group(g))
	}
	for i := range batch.Entries {
		v.Entries = append(v.Entries, a.entry(&batch.Entries[i]))
	}
	if a.accepted > 0 {
		v.First = b.marker.admissions + 1
		a.write(v)
	}
	return v, nil
}

func (a *admission) closedBy(outboxBound int) redisledger.Code {
	m := &a.marker
	switch apart := madeAt(a.batch.ID[:]) - a.now; {
	case max(apart, -apart) > redisledger.ClockBound.Milliseconds():
		return redisledger.Clock
	case m.state != "open" || m.opens != 0 && a.now < m.opens || m.closes != 0 && a.now >= m.closes:
		return redisledger.Closed
	case len(a.outbox) >= outboxBound:
		return redisledger.Overloaded
	}
	return ""
}

// madeAt is the time that a UUIDv7 tells, in ms.
func madeAt(id []byte) int64 {
	var ms int64
	for _, b := range id[:6] {
		ms = ms<<8 | int64(b)
	}
	return ms
}

// permit says what the ballot and a ticket have against a vote.
func (a *admission) permit(index int) redisledger.Code {
	switch t := a.ticket; {
	case a.refused != "":
		return a.refused
	case a.marker.ticketless:
		return redisledger.OK
	case index >= len(a.batch.Tickets):
		return redisledger.NoTicket
	case t == nil:
		return redisledger.Expired
	case a.batch.Tickets[index] != "" && a.batch.Tickets[index] != t.value:
		return redisledger.Superseded
	case a.now >= t.expires:
		return redisledger.Expired
	}
	return redisledger.OK
}

func (a *admission) group(g redisledger.Group) redisledger.GroupVerdict {
	code := a.permit(g.Ticket)
	if code == redisledger.OK && a.marker.votesPerVoter > 0 {
		code = redisledger.NoVoter
	}
	if code != redisledger.OK {
		return redisledger.GroupVerdict{Code: code}
	}
	n := int64(g.Votes)
	if a.left != redisledger.NoCap && n > a.left {
		n, code = a.left, redisledger.Exhausted
	}
	a.take(n)
	a.accepted += n
	return redisledger.GroupVerdict{Accepted: int(n), Code: code}
}

func (a *admission) take(n int64) {
	a.taken += n
	if a.left != redisledger.NoCap {
		a.left -= n
	}
}

func (a *admission) entry(e *redisledger.Entry) redisledger.EntryVerdict {
	if len(e.Key) > 0 {
		if s, ok := a.key(string(e.Key), a.now); ok {
			return a.again(s, e)
		}
		switch {
		case !e.LookedUp && !a.young(e.Key):
			return redisledger.EntryVerdict{Code: redisledger.LookUp}
		case e.LookedUp && a.ahead(e.Key):
			return redisledger.EntryVerdict{Code: redisledger.Ahead}
		}
	}
	v, after := a.judge(e)
	if v.Code != redisledger.OK {
		return v
	}
	for _, name := range e.NewNames {
		if !a.names[name] {
			a.fresh[name] = true
		}
	}
	a.accepted++
	if !retraction(e) {
		a.take(1)
	}
	if len(e.Key) > 0 {
		a.keys = append(a.keys, e)
	}
	if e.Voter != "" {
		a.voters[a.field(e, a.now)] = after
	}
	return v
}

// again answers for a key that was seen.
func (a *admission) again(s seen, e *redisledger.Entry) redisledger.EntryVerdict {
	switch _, waits := a.outbox[s.batch]; {
	case s.hash != string(e.BodyHash):
		return redisledger.EntryVerdict{Code: redisledger.Reused}
	case waits:
		return redisledger.EntryVerdict{Code: redisledger.Pending, Batch: s.batch}
	default:
		return redisledger.EntryVerdict{Code: redisledger.Same, Batch: s.batch}
	}
}

func (a *admission) young(key []byte) bool {
	made := madeAt(key)
	return key[6]>>4 == 7 && a.now-made < redisledger.YoungPast.Milliseconds() && !a.ahead(key) &&
		made-redisledger.YoungFuture.Milliseconds() > a.marker.loaded
}

func (a *admission) ahead(key []byte) bool {
	return key[6]>>4 == 7 && madeAt(key)-a.now >= redisledger.YoungFuture.Milliseconds()
}

// judge decides a vote whose key is new, and returns its voter's state after it.
func (a *admission) judge(e *redisledger.Entry) (redisledger.EntryVerdict, voter) {
	no := func(code redisledger.Code) (redisledger.EntryVerdict, voter) {
		return redisledger.EntryVerdict{Code: code}, voter{}
	}
	if !retraction(e) {
		if code := a.permit(e.Ticket); code != redisledger.OK {
			return no(code)
		}
		if a.left == 0 {
			return no(redisledger.Exhausted)
		}
	} else if a.refused != "" {
		return no(a.refused)
	}
	var after voter
	if e.Voter != "" {
		v, s := a.voter(e)
		if v.Code != redisledger.OK {
			return v, s
		}
		after = s
	} else if a.marker.votesPerVoter > 0 || e.Replaces {
		return no(redisledger.NoVoter)
	}
	if a.full(e.NewNames) {
		return no(redisledger.Names)
	}
	return redisledger.EntryVerdict{Code: redisledger.OK}, after
}

// voter says what the voter's votes have against one more, or against retracting one.
func (a *admission) voter(e *redisledger.Entry) (redisledger.EntryVerdict, voter) {
	if a.marker.perCandidate && e.Candidate == "" {
		return redisledger.EntryVerdict{Code: redisledger.NotOne}, voter{}
	}
	at := a.field(e, a.now)
	s, ok := a.known(at, e)
	if !ok {
		return redisledger.EntryVerdict{Code: redisledger.LookUpVoter, Period: at.period}, s
	}
	if _, waits := a.outbox[s.last]; waits {
		return redisledger.EntryVerdict{Code: redisledger.Busy, Batch: s.last}, s
	}
	limit := a.marker.votesPerVoter
	if limit == 0 {
		limit = redisledger.MaxVoterVotes
	}
	var against redisledger.Code
	switch {
	case e.Retracts != uuid.Nil && !slices.Contains(s.votes, e.Retracts):
		against = redisledger.NoVote
	case e.Retracts == uuid.Nil && int64(len(s.votes)) >= limit:
		against = redisledger.Limit
	}
	if against != "" {
		if s.last == a.batch.ID {
			return redisledger.EntryVerdict{Code: redisledger.Busy, Batch: s.last}, s
		}
		return redisledger.EntryVerdict{Code: against}, s
	}
	s.last = a.batch.ID
	s.votes = without(s.votes, e.Retracts)
	if !retraction(e) {
		s.votes = append(s.votes, e.VoteID)
	}
	return redisledger.EntryVerdict{Code: redisledger.OK}, s
}

// known returns what Redis knows of a voter, or is told, or can conclude from knowing nothing.
func (a *admission) known(at field, e *redisledger.Entry) (voter, bool) {
	for _, m := range []map[field]voter{a.voters, a.ballot.voters, a.lookedUp} {
		if s, ok := m[at]; ok {
			return s, true
		}
	}
	var s voter
	if told := e.VoterState != nil && (a.marker.period == 0 || e.StatePeriod == at.period); told {
		s.votes = e.VoterState
	} else if !a.absentIsNone(at.candidate, a.now) {
		return s, false
	}
	a.lookedUp[at] = s
	return s, true
}

// full says that an open list has no room for the names that are new.
func (a *admission) full(names []string) bool {
	more := map[string]bool{}
	for _, n := range names {
		if !a.names[n] && !a.fresh[n] {
			more[n] = true
		}
	}
	before := 0
	if a.batch.MaxNames > 0 {
		before = len(a.names)
	}
	return len(names) > 0 && int64(before+len(a.fresh)+len(more)) > a.batch.MaxNames
}

// write takes the effect of what was decided.
func (a *admission) write(v redisledger.Verdict) {
	a.marker.admissions += a.accepted
	a.outbox[a.batch.ID] = entry{at: a.now, verdict: v, payload: a.batch.Payload}
	if a.ticket != nil {
		t := a.promote(a.now)
		if t.left != redisledger.NoCap {
			t.left -= a.taken
		}
	}
	for _, e := range a.keys {
		a.remember(e.Key, e.BodyHash, a.batch.ID, a.now)
	}
	for n := range a.fresh {
		a.names[n] = true
	}
	maps.Copy(a.ballot.voters, a.voters)
}

// Known finds out what an unanswered admission did.
func (l *Ledger) Known(_ context.Context, f redisledger.Fence, name string, id uuid.UUID) (redisledger.Verdict, bool) {
	b, err := l.fenced(f, name)
	if err != nil {
		return redisledger.Verdict{}, false
	}
	e, ok := b.outbox[id]
	return e.verdict, ok
}
