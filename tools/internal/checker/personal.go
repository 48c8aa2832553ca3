package checker

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// clocks is how far the ledger's moments and those of the voters may lie apart: all clocks are of one machine.
const clocks = 50 * time.Millisecond

// state is what one limit is for: a voter of a ballot, per candidate and per period where the limit is so.
type state struct {
	person
	candidate string
	period    int64
}

// span is when a vote was among those that count.
type span struct {
	vote     string
	from, to time.Time
}

// always ends no span.
var always = time.Unix(math.MaxInt32, 0)

// personalHistory plays the ledger by admission number: at no moment has a voter more votes than the ballot allows, and who was
// told of a limit, or of a vote that is not there, was told the truth.
func (c *check) personalHistory(attempts []Attempt, l Ledger) {
	limits := map[string]Limit{}
	for _, limit := range l.Limits {
		limits[limit.Ballot] = limit
	}
	spans := map[state][]span{}
	stateOf := map[voteKey]state{}
	rows := slices.Clone(l.Rows)
	slices.SortStableFunc(rows, func(a, b Row) int {
		// A change takes back before it gives.
		return cmp.Or(cmp.Compare(a.Admission, b.Admission), -cmp.Compare(a.Retracts, b.Retracts))
	})
	for _, r := range rows {
		limit, limited := limits[r.Ballot]
		if r.Voter == "" || !limited {
			continue
		}
		if r.Retracts != "" {
			s := stateOf[voteKey{r.Ballot, r.Retracts}]
			end(spans[s], r)
			continue
		}
		k := voteKey{r.Ballot, r.VoteID}
		if _, seen := stateOf[k]; seen {
			continue // another candidate of the same vote
		}
		s := limit.state(r.Ballot, r.Voter, r.Username, r.At)
		stateOf[k] = s
		spans[s] = append(spans[s], span{vote: r.VoteID, from: r.At, to: always})
		if n := counting(spans[s]); n > limit.Votes {
			c.report(OverLimit, "%s has %d votes on %s, which allows %d, with vote %s", r.Voter, n, r.Ballot, limit.Votes, r.VoteID)
		}
	}
	for _, a := range attempts {
		if limit, ok := limits[a.Ballot]; ok && a.Outcome == None && a.Voter != "" && limit.PeriodMs == 0 {
			c.refusal(a, limit, spans[limit.state(a.Ballot, a.Voter, first(a.Names), a.Sent)])
		}
	}
}

func (l Limit) state(ballot, voter, candidate string, at time.Time) state {
	s := state{person: person{ballot, voter}}
	if l.PerCandidate {
		s.candidate = candidate
	}
	if l.PeriodMs > 0 {
		s.period = at.UnixMilli() / l.PeriodMs
	}
	return s
}

func first(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

// end ends the span of the vote that a row takes back.
func end(spans []span, r Row) {
	for i := range spans {
		if spans[i].vote == r.Retracts && spans[i].to.Equal(always) {
			spans[i].to = r.At
		}
	}
}

func counting(spans []span) (n int64) {
	for _, s := range spans {
		if s.to.Equal(always) {
			n++
		}
	}
	return n
}

// refusal holds a definite refusal against what the voter had while it was on its way.
func (c *check) refusal(a Attempt, limit Limit, spans []span) {
	from, to := a.Sent.Add(-clocks), a.Answered.Add(clocks)
	switch a.Code {
	case "VOTER_LIMIT", "ALREADY_LIKED":
		met := int64(0)
		for _, s := range spans {
			if s.from.Before(to) && s.to.After(from) {
				met++
			}
		}
		if met < limit.Votes {
			c.report(Unjust, "%s of %s on %s at %s for %v is %s, with %d votes", a.ID, a.Voter, a.Ballot, a.Sent.Format("15:04:05.000"), a.Names, a.Code, met)
		}
	case "NOT_LIKED":
		for _, s := range spans {
			if s.from.Before(from) && s.to.After(to) {
				c.report(Unjust, "%s of %s on %s at %s for %v is %s, while vote %s counts",
					a.ID, a.Voter, a.Ballot, a.Sent.Format("15:04:05.000"), a.Names, a.Code, s.vote)
			}
		}
	case "VOTE_NOT_FOUND":
		for _, s := range spans {
			if s.vote == cmp.Or(a.Retracts, a.Replaces) && s.from.Before(from) && s.to.After(to) {
				c.report(Unjust, "%s of %s on %s is %s, while vote %s counts", a.ID, a.Voter, a.Ballot, a.Code, s.vote)
			}
		}
	}
}

// liked holds what voters are told against the ledger.
func (c *check) liked(l Ledger) {
	type like struct {
		person
		item string
	}
	counts, sums := map[like]int64{}, map[candidate]int64{}
	for _, r := range l.Rows {
		counts[like{person{r.Ballot, r.Voter}, r.Username}] += r.Delta
		sums[candidate{r.Ballot, r.Username}] += r.Delta
	}
	for _, told := range l.Likes {
		if n := sums[candidate{told.Ballot, told.Username}]; n != told.Votes {
			c.report(LikedDiffers, "%s/%s: readers are told %d likes; the ledger has %d", told.Ballot, told.Username, told.Votes, n)
		}
	}
	for _, told := range l.Liked {
		if n := counts[like{person{told.Ballot, told.Voter}, told.Item}]; (n != 0) != told.Liked {
			c.report(LikedDiffers, "%s is told %v of %s; the ledger has %d", told.Voter, told.Liked, told.Item, n)
		}
	}
}
