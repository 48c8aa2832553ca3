package pgledger

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/faultpoint"
	"github.com/littlevote/littlevote/libs/redisledger"
)

// decide gives every vote its verdict. What is decided already (the key) comes before what time changes (ballot, ticket, limits),
// or a retry would be told that it is too late for a vote that counts.
func (c *cast) decide() {
	c.result.Verdicts = make([]CastVerdict, len(c.Votes))
	if c.seen.ticket != nil {
		c.result.TicketVersion = c.seen.ticket.version
	}
	for i := range c.Votes {
		v := &c.Votes[i]
		verdict := &c.result.Verdicts[i]
		if *verdict = c.byKey(v); verdict.Code != "" {
			continue
		}
		if verdict.Code = c.judge(v); verdict.Code != CastOK {
			continue
		}
		c.take(v)
		c.accepted = append(c.accepted, i)
		verdict.Admission = c.held.admissions + int64(len(c.accepted))
	}
}

// byKey answers for a key that came before.
func (c *cast) byKey(v *CastVote) CastVerdict {
	if !v.Keyed {
		return CastVerdict{}
	}
	key, found := c.seen.keys[v.ID]
	switch {
	case !found:
		return CastVerdict{}
	case key.BodyHash != v.BodyHash:
		return CastVerdict{Code: CastReused}
	default:
		return CastVerdict{Code: CastSame, Batch: key.BatchID}
	}
}

// ahead says that a key tells a time that has not come yet: when it has, Redis would take the key for new.
func (c *cast) ahead(v *CastVote) bool {
	made := time.UnixMilli(int64(binary.BigEndian.Uint64(v.ID[:8]) >> 16))
	return v.Keyed && v.ID.Version() == 7 && made.Sub(c.held.clock) >= keyAhead
}

func (c *cast) judge(v *CastVote) CastCode {
	if c.ahead(v) {
		return CastAhead
	}
	if !c.held.open() {
		return CastClosed
	}
	if c.retractions {
		if voter, counts := c.seen.votes[v.Retracts]; !counts || voter != v.Voter {
			return CastNoVote
		}
		return CastOK
	}
	if code := c.admits(v.Ticket); code != CastOK {
		return code
	}
	if code := c.admitsVoter(v); code != CastOK {
		return code
	}
	if c.MaxNames > 0 && c.newNames(v) > c.seen.room {
		return CastNames
	}
	return CastOK
}

// admitsVoter says whether a voter may cast a vote. A ballot without a limit has one too: in Redis, a voter's votes are one
// value, and what was taken here is to fit there.
func (c *cast) admitsVoter(v *CastVote) CastCode {
	limit := c.held.rules.VotesPerVoter
	switch {
	case v.Voter == "" && limit == 0 && !v.Replaces:
		return CastOK
	case v.Voter == "":
		return CastNoVoter
	case c.held.rules.PerCandidate && v.candidate() == "":
		return CastNotOne
	case limit == 0:
		limit = redisledger.MaxVoterVotes
	}
	votes := c.seen.voters[c.key(v)]
	if v.Replaces {
		if !slices.Contains(votes, v.Retracts) {
			return CastNoVote
		}
		return CastOK
	}
	if len(votes) >= limit && !faultpoint.Mutant("no-voter-limit") {
		return CastLimit
	}
	return CastOK
}

// key is what a vote counts under.
func (c *cast) key(v *CastVote) VoterKey {
	key := VoterKey{Voter: v.Voter, Period: c.held.rules.Period(c.held.now)}
	if faultpoint.Mutant("state-without-period") {
		key.Period = 0
	}
	if c.held.rules.PerCandidate && !faultpoint.Mutant("state-without-candidate") {
		key.Candidate = v.candidate()
	}
	return key
}

// admits says what the newest ticket has against a vote.
func (c *cast) admits(value string) CastCode {
	t := c.seen.ticket
	switch {
	case c.held.rules.Ticketless:
		return CastOK
	case t == nil:
		return CastExpired
	case value != "" && value != t.value:
		return CastSuperseded
	case !c.held.clock.Before(t.expires):
		return CastExpired
	case t.left == 0 && !faultpoint.Mutant("no-cap"):
		return CastExhausted
	default:
		return CastOK
	}
}

func (c *cast) newNames(v *CastVote) int64 {
	var n int64
	for i, name := range v.Candidates {
		if !c.seen.names[name] && !slices.Contains(v.Candidates[:i], name) {
			n++
		}
	}
	return n
}

// take counts an accepted vote in for the votes after it.
func (c *cast) take(v *CastVote) {
	if c.retractions {
		delete(c.seen.votes, v.Retracts)
		return
	}
	if t := c.seen.ticket; t != nil && t.left > 0 {
		t.left--
	}
	if c.MaxNames > 0 {
		c.seen.room -= c.newNames(v)
		for _, name := range v.Candidates {
			c.seen.names[name] = true
		}
	}
	if v.Voter != "" {
		key := c.key(v)
		votes := slices.DeleteFunc(c.seen.voters[key], func(id uuid.UUID) bool { return id == v.Retracts })
		c.seen.voters[key] = append(votes, v.ID)
	}
}
