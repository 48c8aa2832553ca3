package checker

// CheckReads judges what voters saw while the run went on, of candidates whose votes nobody took back: a count never falls
// for one voter, shows what had been acknowledged before, and is never older than the token that was given with it. One that
// says that it may be stale is held to the same: it may lack only what was acknowledged while it was read.
func CheckReads(reads []Read) []Violation {
	type view struct {
		session int
		candidate
	}
	c := &check{}
	last := map[view]int64{}
	for _, r := range reads {
		if r.Token != "" && r.Votes < r.Least {
			c.report(ReadBehind, "%s/%s: %d, and with token %s there were %d", r.Ballot, r.Name, r.Votes, r.Token, r.Least)
		}
		if r.Votes < r.Acknowledged {
			c.report(ReadOld, "%s/%s at %s: %d, after %d were acknowledged", r.Ballot, r.Name, r.Sent.Format("15:04:05.000"), r.Votes, r.Acknowledged)
		}
		v := view{r.Session, candidate{r.Ballot, r.Name}}
		if r.Votes < last[v] {
			c.report(ReadFell, "%s/%s at %s: %d, after voter %d had seen %d", r.Ballot, r.Name, r.Sent.Format("15:04:05.000"), r.Votes, r.Session, last[v])
		}
		last[v] = max(last[v], r.Votes)
	}
	return c.found
}
