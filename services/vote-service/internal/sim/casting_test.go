package sim

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/pgledger"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

// cast is pgledger.Cast at a moment of the clock.
func (t *tables) cast(b pgledger.CastBatch, clock time.Time) (pgledger.CastResult, error) {
	if !t.begun || t.epoch.Number != b.Epoch || t.epoch.Mode != "pg" || t.epoch.State != "open" {
		return pgledger.CastResult{}, pgledger.ErrNotOpen
	}
	rules, known := t.ballots[b.Ballot]
	if !known {
		return pgledger.CastResult{}, pgledger.ErrUnknownBallot
	}
	now := clock.Truncate(time.Millisecond)
	if _, before := t.applied[b.ID]; before {
		return t.again(b, now), nil
	}
	c := casting{tables: t, CastBatch: b, rules: rules, ballot: t.pgBallot(b.Ballot), clock: clock, at: now}
	if !rules.Ticketless {
		c.ticket = t.ticket(b.Ballot, now)
	}
	r := pgledger.CastResult{At: now}
	if c.ticket != nil && (b.Votes[0].Retracts == uuid.Nil || b.Votes[0].Replaces) {
		r.TicketVersion = c.ticket.version
	}
	for _, v := range b.Votes {
		r.Verdicts = append(r.Verdicts, c.vote(v))
	}
	if c.accepted > 0 {
		t.applied[b.ID] = b.Epoch
	}
	return r, nil
}

func (t *tables) pgBallot(ballot string) *pgBallot {
	k := epochBallot{t.epoch.Number, ballot}
	if t.pgBallots[k] == nil {
		t.pgBallots[k] = &pgBallot{admissions: t.version(ballot)}
	}
	return t.pgBallots[k]
}

// again answers for a batch that was decided before.
func (t *tables) again(b pgledger.CastBatch, now time.Time) pgledger.CastResult {
	r := pgledger.CastResult{At: now, Verdicts: make([]pgledger.CastVerdict, len(b.Votes))}
	for i, v := range b.Votes {
		r.Verdicts[i].Code = pgledger.CastForgotten
		for _, row := range t.logs {
			if row.vote == v.ID && row.batch == b.ID && row.ballot == b.Ballot {
				r.Verdicts[i] = pgledger.CastVerdict{Code: pgledger.CastOK, Admission: row.admission}
				r.TicketVersion = row.ticket
			}
		}
	}
	return r
}

// ticket is the newest one of the open epoch.
func (t *tables) ticket(ballot string, now time.Time) *ticketRow {
	var newest *ticketRow
	for n, row := range t.tickets {
		if n.ballot == ballot && t.ofThisEpoch(n.name) && !row.created.After(now) && (newest == nil || row.created.After(newest.created)) {
			newest = row
		}
	}
	return newest
}

func (t *tables) ofThisEpoch(version string) bool {
	return strings.HasPrefix(version, strconv.FormatInt(t.epoch.Number, 10)+".")
}

// mint is pgledger.MintTicket.
func (t *tables) mint(epoch int64, ballot string, m pgledger.Mint, now time.Time) (pgledger.Minted, error) {
	if !t.begun || t.epoch.Number != epoch || t.epoch.Mode != "pg" || t.epoch.State != "open" {
		return "", pgledger.ErrNotOpen
	}
	now = now.Truncate(time.Millisecond)
	held, newest, next := t.pgBallot(ballot), t.ticket(ballot, now), false
	for n, row := range t.tickets {
		next = next || n.ballot == ballot && t.ofThisEpoch(n.name) && row.created.After(now)
	}
	running := newest != nil && now.Before(newest.expires)
	switch {
	case m.Fence < held.fence:
		return pgledger.MintFenced, nil
	case running && next:
		return pgledger.MintAlready, nil
	case m.Number != held.last+1:
		return pgledger.MintStale, nil
	}
	row := &ticketRow{value: m.Value, version: m.Version, limit: m.Cap, created: now}
	if running {
		row.created = newest.expires
	}
	row.expires = row.created.Add(m.Interval)
	t.tickets[name{ballot, m.Version}] = row
	held.last, held.fence = m.Number, max(held.fence, m.Fence)
	return pgledger.MintDone, nil
}

// casting is one call of cast at work.
type casting struct {
	*tables
	pgledger.CastBatch

	rules     pgledger.Ballot
	ballot    *pgBallot
	ticket    *ticketRow
	clock, at time.Time
	accepted  int
}

// vote decides one vote, and gives it its effect.
func (c *casting) vote(v pgledger.CastVote) pgledger.CastVerdict {
	if key, found := c.keys[name{c.Ballot, string(v.ID[:])}]; v.Keyed && found {
		if key.BodyHash != v.BodyHash {
			return pgledger.CastVerdict{Code: pgledger.CastReused}
		}
		return pgledger.CastVerdict{Code: pgledger.CastSame, Batch: key.BatchID}
	}
	if code := c.judge(v); code != pgledger.CastOK {
		return pgledger.CastVerdict{Code: code}
	}
	c.accepted++
	c.ballot.admissions++
	e := &eventv1.VoteBatch{
		BatchId: c.ID[:], Epoch: c.Epoch, Ballot: c.Ballot, AdmittedAtMs: c.at.UnixMilli(),
		FirstAdmissionNumber: c.ballot.admissions, Candidates: v.Candidates,
	}
	event := &eventv1.VoteEvent{VoteId: v.ID[:], Voter: v.Label, VoterId: v.Voter, Deltas: v.Counts}
	for i := range v.Candidates {
		event.Candidates = append(event.Candidates, uint32(i))
	}
	if v.Keyed {
		event.BodyHash = v.BodyHash[:]
	}
	if v.Retracts != uuid.Nil {
		event.Retracts = v.Retracts[:]
	}
	if c.ticket != nil && (v.Retracts == uuid.Nil || v.Replaces) {
		e.TicketVersion = c.ticket.version
	}
	e.Votes = []*eventv1.VoteEvent{event}
	c.write(pgledger.Event{VoteBatch: e})
	verdict := pgledger.CastVerdict{Code: pgledger.CastOK, Admission: c.ballot.admissions, Totals: make([]int64, len(v.Candidates))}
	for i, candidate := range v.Candidates {
		verdict.Totals[i] = c.tallies[name{c.Ballot, candidate}].Votes
	}
	return verdict
}

func (c *casting) judge(v pgledger.CastVote) pgledger.CastCode {
	r := c.rules
	made := time.UnixMilli(int64(binary.BigEndian.Uint64(v.ID[:8]) >> 16))
	switch {
	case v.Keyed && v.ID.Version() == 7 && made.Sub(c.clock) >= 30*time.Second:
		return pgledger.CastAhead
	case r.State != "open" || r.OpensAt != nil && c.at.Before(*r.OpensAt) || r.ClosesAt != nil && !c.clock.Before(*r.ClosesAt):
		return pgledger.CastClosed
	case v.Retracts != uuid.Nil && !v.Replaces:
		if row, found := c.voters[voterVote{c.Ballot, v.Voter, v.Retracts}]; !found || row.retracted {
			return pgledger.CastNoVote
		}
		return pgledger.CastOK
	case r.Ticketless:
	case c.ticket == nil:
		return pgledger.CastExpired
	case v.Ticket != "" && v.Ticket != c.ticket.value:
		return pgledger.CastSuperseded
	case !c.clock.Before(c.ticket.expires):
		return pgledger.CastExpired
	case c.ticket.limit != pgledger.NoCap && c.used[name{c.Ballot, c.ticket.version}] >= c.ticket.limit && !c.wrong.noCap:
		return pgledger.CastExhausted
	}
	if code := c.judgeVoter(v); code != pgledger.CastOK {
		return code
	}
	if c.MaxNames > 0 && c.namesAfter(v) > c.MaxNames {
		return pgledger.CastNames
	}
	return pgledger.CastOK
}

func (c *casting) judgeVoter(v pgledger.CastVote) pgledger.CastCode {
	r, given := c.rules, map[string]bool{}
	key := pgledger.VoterKey{Voter: v.Voter, Period: r.Period(c.at)}
	for i, candidate := range v.Candidates {
		if v.Counts[i] > 0 {
			given[candidate] = true
			if r.PerCandidate {
				key.Candidate = candidate
			}
		}
	}
	votes := c.votesOf(c.Ballot, key)
	switch {
	case v.Voter == "" && r.VotesPerVoter == 0 && !v.Replaces, v.Voter == "" && c.wrong.noVoterLimit:
		return pgledger.CastOK
	case v.Voter == "":
		return pgledger.CastNoVoter
	case r.PerCandidate && len(given) != 1:
		return pgledger.CastNotOne
	case v.Replaces && !slices.Contains(votes, v.Retracts):
		return pgledger.CastNoVote
	case !v.Replaces && r.VotesPerVoter > 0 && len(votes) >= r.VotesPerVoter && !c.wrong.noVoterLimit:
		return pgledger.CastLimit
	}
	return pgledger.CastOK
}

// namesAfter is how many names the list would have; one that it can't grow by is no reason to refuse.
func (c *casting) namesAfter(v pgledger.CastVote) int64 {
	fresh, has := map[string]bool{}, int64(0)
	for n := range c.tallies {
		if n.ballot == c.Ballot {
			has++
		}
	}
	for _, candidate := range v.Candidates {
		if c.tallies[name{c.Ballot, candidate}] == nil {
			fresh[candidate] = true
		}
	}
	if len(fresh) == 0 {
		return 0
	}
	return has + int64(len(fresh))
}
