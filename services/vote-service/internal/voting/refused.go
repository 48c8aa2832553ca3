package voting

import (
	"github.com/littlevote/littlevote/libs/redisledger"
)

// answerRefused answers what a batch's admission did not accept, or finds out what it needs to know.
func (e *Engine) answerRefused(n *batch) {
	var voters []*job // whose votes Redis does not know
	at := 0
	for i, g := range n.verdict.Groups {
		size := int(n.groups[i])
		for _, j := range n.jobs[at+g.Accepted : at+size] {
			j.refuse(refusalFor(g.Code), n.verdict.At)
		}
		at += size
	}
	for i, v := range n.verdict.Entries {
		j := n.jobs[at+i]
		switch v.Code {
		case redisledger.OK:
			for _, name := range n.request.Entries[i].NewNames {
				j.ballot.known.Store(name, struct{}{})
			}
		case redisledger.Same, redisledger.Pending:
			e.slow.Go(func() { e.answerSeen(j, v.Batch) })
		case redisledger.Busy:
			e.slow.Go(func() { e.awaitTurn(j, v.Batch) })
		case redisledger.LookUp:
			e.slow.Go(func() { e.lookUp(j) })
		case redisledger.LookUpVoter:
			j.votesPeriod = v.Period
			voters = append(voters, j)
		case redisledger.NoVote:
			e.noVote(j, n.verdict.At)
		default:
			j.refuse(refusalFor(v.Code), n.verdict.At)
		}
	}
	if len(voters) > 0 {
		e.slow.Go(func() { e.lookUpVoters(n.ballot, voters) })
	}
}

func refusalFor(code redisledger.Code) refusal {
	switch code {
	case redisledger.Expired:
		return refusedExpired
	case redisledger.Superseded:
		return refusedSuperseded
	case redisledger.Exhausted:
		return refusedExhausted
	case redisledger.Closed:
		return refusedClosed
	case redisledger.Overloaded:
		return refusedFull
	case redisledger.Names:
		return refusedNames
	case redisledger.Ahead:
		return refusedAhead
	case redisledger.Reused:
		return refusedReused
	case redisledger.Limit:
		return refusedLimit
	default:
		return refusedAway
	}
}
