package checker

// person is a voter of a ballot, and entry one of their votes.
type person struct{ ballot, voter string }

type entry struct {
	person
	vote string
}

// voters judges limits and retractions.
func (c *check) voters(l Ledger) {
	votes, kept := personal(l.Rows), map[entry]bool{}
	for _, v := range l.Voters {
		e := entry{person{v.Ballot, v.Voter}, v.VoteID}
		kept[e] = v.Retracted
		if _, ok := votes[e]; !ok {
			c.report(VoterDiffers, "vote %s of %s on %s is kept, and not in the ledger", e.vote, e.voter, e.ballot)
		}
	}
	count := map[person]int64{}
	for e, retracted := range votes {
		if was, ok := kept[e]; !ok || was != retracted {
			c.report(VoterDiffers, "vote %s of %s on %s: kept %v, taken back %v; by the ledger %v", e.vote, e.voter, e.ballot, ok, was, retracted)
		}
		if !retracted {
			count[e.person]++
		}
	}
	c.limits(l, count)
	c.retractions(l)
}

// personal are the votes of voters, true for those that were taken back.
func personal(rows []Row) map[entry]bool {
	votes := map[entry]bool{}
	for _, r := range rows {
		if e := (entry{person{r.Ballot, r.Voter}, r.VoteID}); r.Voter != "" && r.Retracts == "" {
			votes[e] = false
		}
	}
	for _, r := range rows {
		if r.Retracts != "" {
			votes[entry{person{r.Ballot, r.Voter}, r.Retracts}] = true
		}
	}
	return votes
}

func (c *check) limits(l Ledger, count map[person]int64) {
	limits := map[string]int64{}
	for _, limit := range l.Limits {
		limits[limit.Ballot] = limit.Votes
	}
	for p, n := range count {
		if limit, ok := limits[p.ballot]; ok && n > limit {
			c.report(OverLimit, "%s has %d votes on %s, which allows %d", p.voter, n, p.ballot, limit)
		}
	}
}

// retractions holds each one against the vote that it takes back: all of it, and once.
func (c *check) retractions(l Ledger) {
	by := map[voteKey][]string{} // who takes a vote back
	seen := map[voteKey]bool{}
	for _, r := range l.Rows {
		k := voteKey{r.Ballot, r.VoteID}
		if r.Retracts == "" || seen[k] {
			continue
		}
		seen[k] = true
		of := voteKey{r.Ballot, r.Retracts}
		by[of] = append(by[of], r.VoteID)
		if vote, back := c.effects[of], c.effects[k]; vote == nil || bodyOf("", vote.names) != bodyOf("", back.names) {
			c.report(Changed, "retraction %s is not what vote %s was", r.VoteID, r.Retracts)
		}
	}
	for of, ids := range by {
		if len(ids) > 1 {
			c.report(Doubled, "vote %s is taken back by %v", of.id, ids)
		}
	}
}
