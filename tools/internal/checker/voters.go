package checker

// person is a voter of a ballot, and entry one of their votes.
type person struct{ ballot, voter string }

type entry struct {
	person
	vote string
}

// voters judges retractions, and what is kept of voters.
func (c *check) voters(l Ledger) {
	votes, kept := personal(l.Rows), map[entry]bool{}
	for _, v := range l.Voters {
		e := entry{person{v.Ballot, v.Voter}, v.VoteID}
		kept[e] = v.Retracted
		if _, ok := votes[e]; !ok {
			c.report(VoterDiffers, "vote %s of %s on %s is kept, and not in the ledger", e.vote, e.voter, e.ballot)
		}
	}
	for e, retracted := range votes {
		if was, ok := kept[e]; !ok || was != retracted {
			c.report(VoterDiffers, "vote %s of %s on %s: kept %v, taken back %v; by the ledger %v", e.vote, e.voter, e.ballot, ok, was, retracted)
		}
	}
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
		if r.Retracts != "" && r.Voter != "" {
			votes[entry{person{r.Ballot, r.Voter}, r.Retracts}] = true
		}
	}
	return votes
}

// retractions holds each one against the vote that it takes back: all of it, and once.
func (c *check) retractions(l Ledger) {
	by := map[voteKey][]string{} // who takes a vote back
	taken := map[[3]string]*side{}
	for _, r := range l.Rows {
		if r.Retracts == "" {
			continue
		}
		of, who := voteKey{r.Ballot, r.Retracts}, r.VoteID
		if r.Void != "" {
			who = "void " + r.Void
		}
		k := [3]string{r.Ballot, who, r.Retracts}
		if taken[k] == nil {
			taken[k] = &side{}
			by[of] = append(by[of], who)
		}
		taken[k].add(r)
	}
	for k, back := range taken {
		of := c.effects[voteKey{k[0], k[2]}]
		if of == nil || back.rows > len(back.named) || bodyOf("", "", of.gives.names) != bodyOf("", "", back.names) {
			c.report(Changed, "what %s takes back is not what vote %s was", k[1], k[2])
		}
	}
	for of, ids := range by {
		if len(ids) > 1 {
			c.report(Doubled, "vote %s is taken back by %v", of.id, ids)
		}
	}
}
