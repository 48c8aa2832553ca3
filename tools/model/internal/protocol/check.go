package protocol

import (
	"fmt"

	"github.com/littlevote/littlevote/tools/model/internal/explore"
)

// breach is a broken promise that a step sees, and that the state after it would not show.
type breach uint8

const (
	countedTwice breach = iota + 1
	countedTwiceInRedis
	deniedThoughCounted
	offsetMovedBack
	falseAlarm
	readMisses
)

var breaches = map[breach]string{
	countedTwice:        "G2: Postgres counts a batch twice",
	countedTwiceInRedis: "G2: Redis counts a batch twice",
	deniedThoughCounted: "G3: a vote is refused for good under a key that counts",
	offsetMovedBack:     "an offset moves back: a persister that does not own the partition any more has moved it",
	falseAlarm:          "the reconciler finds a drift where there is none",
	readMisses:          "G8: a read in Postgres misses a vote that was acknowledged before it",
}

// Next is every step that may follow.
func (m *Model) Next(s *State, out func(Step, explore.Kind, State)) {
	for b := range m.Requests {
		m.ownerSteps(s, b, out)
		m.driverSteps(s, b, out)
	}
	for i := range s.instances {
		m.instanceSteps(s, i, out)
	}
	m.persisterSteps(s, out)
	m.lateSteps(s, out)
	m.redisFaults(s, out)
	if m.Certify {
		m.certifySteps(s, out)
	}
	if m.Reconcile {
		m.reconcileSteps(s, out)
	}
	if m.Read {
		m.readSteps(s, out)
	}
}

// Check judges a state, whatever goes on in it.
func (m *Model) Check(s *State) string {
	if s.broken != 0 {
		return breaches[s.broken]
	}
	for _, check := range []func(*State) string{m.once, m.kept, m.honest, m.limits, m.reads, m.certifiedStays} {
		if what := check(s); what != "" {
			return what
		}
	}
	return ""
}

// once: G2, at most one batch of a key counts.
func (m *Model) once(s *State) string {
	for a := range m.Requests {
		for b := range a {
			if key := m.Requests[a].Key; key != 0 && key == m.Requests[b].Key && s.counted.has(a) && s.counted.has(b) {
				return fmt.Sprintf("G2: key %d counts twice, by batches %d and %d", key, b+1, a+1)
			}
		}
	}
	return ""
}

// kept: G1, what was acknowledged is in the ledger, or in the log from where it gets there.
func (m *Model) kept(s *State) string {
	queued := s.queued()
	for b := range m.Requests {
		if !s.acked.has(b) || (s.counted | s.hangs()).has(b) {
			continue
		}
		if !queued.has(b) {
			return fmt.Sprintf("G1: batch %d is acknowledged, and neither in the log nor in the ledger", b+1)
		}
		if s.row.epoch > s.batches[b].ledger.epoch || s.certified {
			return fmt.Sprintf("G1: batch %d is acknowledged, and will be dropped: its time is over", b+1)
		}
	}
	return ""
}

// honest: G3, what was refused does not count.
func (m *Model) honest(s *State) string {
	for b := range m.Requests {
		if o := s.batches[b].outcome; (o == refused || o == denied) && s.counted.has(b) {
			return fmt.Sprintf("G3: batch %d was refused, and counts", b+1)
		}
	}
	return ""
}

// limits: G4 and G7. The ledger in Postgres is held to the voter limit where votes are decided by it, and at rest: between,
// records of two lanes may come in another order than they were admitted in.
func (m *Model) limits(s *State) string {
	for epoch := uint8(1); epoch <= s.row.epoch; epoch++ {
		for ticket := uint8(1); ticket <= 2; ticket++ {
			if used := m.usedInPg(s, epoch, ticket); used > m.Cap {
				return fmt.Sprintf("G4: ticket %d of epoch %d has %d votes, its cap is %d", ticket, epoch, used, m.Cap)
			}
		}
	}
	if s.row.mode == postgres && s.row.open && m.votesInPg(s.counted).len() > m.VoterLimit {
		return "G7: the ledger in Postgres has more votes of the voter than it may"
	}
	return ""
}

// reads: G8 and G9, for everybody who might read now.
func (m *Model) reads(s *State) string {
	if s.row.mode == postgres && s.row.open && !s.acked.within(s.counted) {
		return "G8: a read in Postgres misses a vote that was acknowledged"
	}
	for i := range s.instances {
		l := s.instances[i].believes
		k, r := m.fenced(s, i, l)
		if !s.instances[i].up || l.mode != redis || r != fine || k.drifted {
			continue
		}
		if !s.acked.within(k.tally) {
			return fmt.Sprintf("G8: a read through %c misses a vote that was acknowledged", 'A'+i)
		}
		if !k.tally.within(s.counted | s.queued() | s.hangs()) {
			return fmt.Sprintf("G9: a read through %c shows a vote that is neither in the log nor in the ledger", 'A'+i)
		}
		if m.votesInPg(k.tally).len() > m.VoterLimit {
			return fmt.Sprintf("G7: a read through %c shows more votes of the voter than it may have", 'A'+i)
		}
		for b, req := range m.Requests {
			if v := req.Retracts; v != 0 && k.tally.has(b) && !k.tally.has(v-1) {
				return fmt.Sprintf("G9: a read through %c shows a retraction without its vote", 'A'+i)
			}
		}
	}
	return ""
}

// certifiedStays: G6.
func (m *Model) certifiedStays(s *State) string {
	if s.certified && s.result != s.counted {
		return "G6: a certified result changes"
	}
	return ""
}

// Rest judges a state in which nothing more happens by itself: all is answered, applied and settled, and everybody agrees.
func (m *Model) Rest(s *State) string {
	if s.lastName == maxNames || s.row.epoch == maxEpoch {
		return "" // the bound of the model, not an end
	}
	for b := range m.Requests {
		if s.batches[b].pc != answered {
			return fmt.Sprintf("stuck: batch %d gets no answer", b+1)
		}
	}
	if s.queued() != 0 {
		return "stuck: records in the log are not applied"
	}
	if !s.row.open || !s.free() {
		return "stuck: no epoch is open"
	}
	if m.Certify && !s.certified {
		return "stuck: the ballot is not certified"
	}
	if m.votesInPg(s.counted).len() > m.VoterLimit {
		return "G7: the ledger has more votes of the voter than it may"
	}
	if s.row.mode == postgres {
		return ""
	}
	return m.restInRedis(s)
}

func (m *Model) restInRedis(s *State) string {
	for i := range s.instances {
		k, r := m.fenced(s, i, s.row.ledger)
		switch {
		case !s.instances[i].up || r == away:
			continue
		case r == wrongEpoch && s.makes == s.row.ledger && s.row.mode == redis && m.NewBallot:
			continue // the ballot was never made
		case r == wrongEpoch:
			return "stuck: Redis is not the ledger of the open epoch, and nobody minds"
		case k.outbox != 0:
			return "stuck: a batch stays in the outbox"
		case k.tally != s.counted:
			return "G11: the tally in Redis is not that of the ledger"
		}
	}
	return ""
}
