package checker

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Kind is a way in which a promise is broken.
type Kind string

// What can be wrong.
const (
	Lost           Kind = "lost"                // acknowledged, and not in the ledger
	Doubled        Kind = "doubled"             // in the ledger more than once
	Changed        Kind = "changed"             // in the ledger with other candidates than it was sent with
	RefusedCounted Kind = "refused but counted" // in the ledger after a definite refusal
	Phantom        Kind = "phantom"             // in the ledger, and nobody sent it
	WrongTicket    Kind = "wrong ticket"        // in the ledger under a ticket that it was not sent with
	OutOfWindow    Kind = "out of window"       // admitted when its ticket was not valid
	OverCap        Kind = "over cap"            // more votes on a ticket than its cap
	TicketDiffers  Kind = "ticket differs"      // a ticket's uses are not its votes
	TallyDiffers   Kind = "tally differs"       // a tally is not the sum of the ledger
	LiveDiffers    Kind = "live differs"        // a count that voters are shown is not the sum of the ledger
	RedisDiffers   Kind = "redis differs"       // a count in Redis is not the sum of the ledger
	OverLimit      Kind = "over limit"          // a voter has more votes on a ballot than it allows
	VoterDiffers   Kind = "voter differs"       // what is kept of a voter is not what the ledger says
	Unjust         Kind = "unjust refusal"      // a voter was told of votes that they had, or had not, and at no moment was it so
	LikedDiffers   Kind = "liked differs"       // a voter is not told what the ledger says that they like
	ReadFell       Kind = "read fell"           // a voter saw a count fall
	ReadOld        Kind = "read too old"        // a read does not show what had been acknowledged when it was sent
	ReadBehind     Kind = "read behind token"   // a read with a token is older than the token
)

// Violation is one broken promise.
type Violation struct {
	Kind Kind
	Text string
}

func (v Violation) String() string { return string(v.Kind) + ": " + v.Text }

// Check holds the attempts against the ledger. The answer is empty if every promise was kept.
func Check(attempts []Attempt, l Ledger) []Violation {
	c := &check{effects: effects(l.Rows)}
	c.votes(attempts)
	c.tickets(l)
	c.tallies(TallyDiffers, l.Rows, l.Tallies)
	c.tallies(LiveDiffers, shown(l), l.Live)
	if l.Redis != nil {
		c.tallies(RedisDiffers, shown(l), l.Redis)
	}
	c.voters(l)
	c.personalHistory(attempts, l)
	c.liked(l)
	slices.SortFunc(c.found, func(a, b Violation) int {
		return cmp.Or(strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.Text, b.Text))
	})
	return c.found
}

// voteKey names a vote.
type voteKey struct{ ballot, id string }

// side is what a vote gives, or what it takes back.
type side struct {
	rows  int
	named map[string]bool
	names []string // a name as often as it was counted, or as it was taken back
}

func (s *side) add(r Row) {
	s.rows++
	if s.named == nil {
		s.named = map[string]bool{}
	}
	s.named[r.Username] = true
	for range max(r.Delta, -r.Delta) {
		s.names = append(s.names, r.Username)
	}
}

// effect is all that the ledger has of one vote; a change gives and takes.
type effect struct {
	gives, takes side
	retracts     string // the vote that is taken back; empty for a vote
	tickets      map[string]bool
}

// doubled says that a candidate has two rows. One that a vote names twice has one row of two.
func (e *effect) doubled() bool {
	return e.gives.rows > len(e.gives.named) || e.takes.rows > len(e.takes.named)
}

func (e *effect) body() string {
	switch {
	case e.retracts == "":
		return bodyOf(vote, "", e.gives.names)
	case e.gives.rows == 0:
		return bodyOf(retraction, e.retracts, e.takes.names)
	default:
		return bodyOf(change, e.retracts, e.gives.names)
	}
}

// sent is the claim that this is the effect of, nil if there is none.
func (e *effect) sent(bodies map[string]*claim) *claim {
	if one := bodies[e.body()]; one != nil || e.retracts == "" || e.gives.rows > 0 {
		return one
	}
	return bodies[bodyOf(unlike, "", e.takes.names)]
}

func (e *effect) String() string { return e.body() }

func effects(rows []Row) map[voteKey]*effect {
	all := map[voteKey]*effect{}
	for _, r := range rows {
		if r.Void != "" {
			continue // organisers did that
		}
		k := voteKey{r.Ballot, r.VoteID}
		e := all[k]
		if e == nil {
			e = &effect{tickets: map[string]bool{}}
			all[k] = e
		}
		if r.Retracts == "" {
			e.gives.add(r)
			e.tickets[r.Ticket] = true
		} else {
			e.takes.add(r)
			e.retracts = r.Retracts
		}
	}
	return all
}

// claim is what the attempts of a vote with the same body say together.
type claim struct {
	counted, unknown bool
	names            []string
	tickets          map[string]bool
}

type check struct {
	effects map[voteKey]*effect
	found   []Violation
}

func (c *check) report(kind Kind, format string, args ...any) {
	c.found = append(c.found, Violation{kind, fmt.Sprintf(format, args...)})
}

func (c *check) votes(attempts []Attempt) {
	claims := map[voteKey]map[string]*claim{}
	nameless := 0 // votes of an id that nobody knows, which may count
	for _, a := range attempts {
		switch {
		case a.ID != "":
			join(claims, a)
		case a.Outcome == Unknown:
			nameless++
		case a.Outcome == Counted:
			c.report(Lost, "a vote for %v was acknowledged without an id", a.Names)
		}
	}
	for k, bodies := range claims {
		c.vote(k, bodies)
	}
	for k, e := range c.effects {
		if claims[k] != nil {
			continue
		}
		if nameless--; nameless < 0 {
			c.report(Phantom, "vote %s of %s: %s", k.id, k.ballot, e)
		}
	}
}

func join(claims map[voteKey]map[string]*claim, a Attempt) {
	k := voteKey{a.Ballot, a.ID}
	if claims[k] == nil {
		claims[k] = map[string]*claim{}
	}
	one := claims[k][a.body()]
	if one == nil {
		one = &claim{names: a.Names, tickets: map[string]bool{}}
		claims[k][a.body()] = one
	}
	one.counted = one.counted || a.Outcome == Counted
	one.unknown = one.unknown || a.Outcome == Unknown
	one.tickets[a.Ticket] = true
}

// vote judges one vote id. Several bodies under it are a key that was used again; at most one of them counts.
func (c *check) vote(k voteKey, bodies map[string]*claim) {
	e := c.effects[k]
	if e != nil && e.doubled() {
		c.report(Doubled, "vote %s has %d rows for %v", k.id, e.gives.rows+e.takes.rows, slices.Sorted(maps.Keys(e.gives.named)))
		return
	}
	var counts *claim
	if e != nil {
		counts = e.sent(bodies)
		c.admitted(k, e, counts)
	}
	for _, one := range bodies {
		if one.counted && one != counts && (e == nil || counts != nil) {
			c.report(Lost, "vote %s for %v", k.id, one.names)
		}
	}
}

// admitted judges a vote that counts; sent is nil if no attempt has its body.
func (c *check) admitted(k voteKey, e *effect, sent *claim) {
	switch {
	case sent == nil:
		c.report(Changed, "vote %s counts for %v, and was not sent so", k.id, e)
	case !sent.counted && !sent.unknown:
		c.report(RefusedCounted, "vote %s for %v", k.id, e.gives.names)
	case !sent.tickets[""]:
		for version := range e.tickets {
			if !sent.tickets[version] {
				c.report(WrongTicket, "vote %s counts on ticket %s", k.id, version)
			}
		}
	}
}

// shown is the part of the ledger whose counts somebody asked for.
func shown(l Ledger) []Row {
	asked := map[string]bool{}
	for _, t := range l.Live {
		asked[t.Ballot] = true
	}
	return slices.DeleteFunc(slices.Clone(l.Rows), func(r Row) bool { return !asked[r.Ballot] })
}

// tickets judges uses, caps and windows.
func (c *check) tickets(l Ledger) {
	votes := map[[2]string]map[string]bool{}
	ticketless := map[string]bool{}
	for _, limit := range l.Limits {
		ticketless[limit.Ballot] = limit.Ticketless
	}
	known := map[[2]string]Ticket{}
	for _, t := range l.Tickets {
		known[[2]string{t.Ballot, t.Version}] = t
	}
	for _, r := range l.Rows {
		if r.Retracts != "" || ticketless[r.Ballot] {
			continue // takes no use
		}
		k := [2]string{r.Ballot, r.Ticket}
		if votes[k] == nil {
			votes[k] = map[string]bool{}
		}
		votes[k][r.VoteID] = true
		if t := known[k]; t.Created != nil && (r.At.Before(*t.Created) || !r.At.Before(*t.Expires)) {
			c.report(OutOfWindow, "vote %s at %v on ticket %s, valid from %v to %v", r.VoteID, r.At, r.Ticket, *t.Created, *t.Expires)
		}
	}
	for k, ids := range votes {
		if _, ok := known[k]; !ok {
			c.report(TicketDiffers, "ticket %s of %s has %d votes and no row", k[1], k[0], len(ids))
		}
	}
	for k, t := range known {
		n := int64(len(votes[k]))
		if t.Cap != nil && n > *t.Cap {
			c.report(OverCap, "ticket %s of %s has %d votes, and its cap is %d", k[1], k[0], n, *t.Cap)
		}
		if n != t.Used {
			c.report(TicketDiffers, "ticket %s of %s has %d votes, and %d uses", k[1], k[0], n, t.Used)
		}
	}
}

// tallies compares counts with the sums of the ledger; a candidate without a count has 0.
func (c *check) tallies(kind Kind, rows []Row, counts []Tally) {
	left := map[candidate]int64{}
	for _, r := range rows {
		left[candidate{r.Ballot, r.Username}] += r.Delta
	}
	for _, t := range counts {
		left[candidate{t.Ballot, t.Username}] -= t.Votes
	}
	for k, difference := range left {
		if difference != 0 {
			c.report(kind, "%s/%s: the ledger has %+d more", k.ballot, k.name, difference)
		}
	}
}
