package protocol

// reply is what a script says first.
type reply uint8

const (
	away       reply = iota // it did not run, certainly
	wrongEpoch              // it ran, and had no effect
	fine
)

// reach returns the node that an instance talks to; nil if it gets no answer.
func (s *State) reach(i int) *node {
	in := &s.instances[i]
	if n := &s.nodes[in.conn]; n.up && !in.cut {
		return n
	}
	return nil
}

// fenced is what stands before every script: the marker is there, whole, of this epoch, on the node where it was made.
func (m *Model) fenced(s *State, i int, l ledger) (*keys, reply) {
	n := s.reach(i)
	if n == nil {
		return nil, away
	}
	k := &n.names[l.name]
	if !m.stands(n, k, l) {
		return nil, wrongEpoch
	}
	return k, fine
}

func (m *Model) stands(n *node, k *keys, l ledger) bool {
	switch {
	case !k.marker || k.sealed || k.epoch != l.epoch:
		return false
	case k.loading && !m.without[loadUnfinished]:
		return false
	case m.without[noReplid]:
		return true
	}
	return n.master && k.replid == n.replid
}

// verdict is what admit says about a batch.
type verdict uint8

const (
	admitOK      verdict = iota + 1
	admitKnown           // the batch is in the outbox, or done
	admitSame            // the key was admitted with another batch, which is settled
	admitPending         // the same, not settled; or the voter's last batch is not
	admitLookUp
	admitDenied
)

// admit is the script, in its order: batch, key, look-up, time and limits, voter.
func (m *Model) admit(s *State, k *keys, b int) (v verdict, on int) {
	if !m.without[admitForgetsBatch] && (k.outbox | k.settled | k.refunded).has(b) {
		return admitKnown, b
	}
	if m.without[limitsBeforeKey] && !m.allows(k, b) {
		return admitDenied, 0
	}
	if x := m.seen(k, b); x >= 0 {
		if k.settled.has(x) || m.without[pendingIsSame] {
			return admitSame, x
		}
		return admitPending, x
	}
	if m.mustLookUp(s, k, b) {
		return admitLookUp, 0
	}
	if !m.allows(k, b) {
		return admitDenied, 0
	}
	if m.Requests[b].Voter {
		if last := int(k.voterLast) - 1; last >= 0 && k.outbox.has(last) && !m.without[noBusy] {
			return admitPending, last
		}
		votes := k.voterVotes
		if !k.voterKnown {
			votes = s.batches[b].looked
		}
		if !m.voterMay(votes, b) {
			return admitDenied, 0
		}
		k.voterKnown, k.voterVotes = true, votes
	}
	m.enter(k, b)
	s.batches[b].ticket = k.ticket
	return admitOK, 0
}

// enter writes an admission down.
func (m *Model) enter(k *keys, b int) {
	k.outbox |= one(b)
	if !m.Requests[b].Voter {
		return
	}
	if v := m.Requests[b].Retracts; v != 0 {
		k.voterVotes &^= one(v - 1)
	} else {
		k.voterVotes |= one(b)
	}
	k.voterLast = uint8(b + 1)
}

// seen returns the batch that the key of b was admitted with; -1 if there is none.
func (m *Model) seen(k *keys, b int) int {
	key := m.Requests[b].Key
	if key == 0 {
		return -1
	}
	for x := range m.Requests {
		if m.Requests[x].Key == key && (k.outbox | k.settled).has(x) && x != b {
			return x
		}
	}
	return -1
}

// mustLookUp: Redis knows nothing of what was before its load. A look-up holds in the epoch that it was made in.
func (m *Model) mustLookUp(s *State, k *keys, b int) bool {
	if k.epoch == 1 || m.without[lookUpNever] && m.Requests[b].Key != 0 {
		return false
	}
	r := m.Requests[b]
	if r.Key == 0 && (!r.Voter || k.voterKnown) {
		return false
	}
	at := s.batches[b].lookedUp
	return at != k.epoch && (at == 0 || !m.without[lookUpOfAnyEpoch])
}

// allows: open, the newest ticket, uses left.
func (m *Model) allows(k *keys, b int) bool {
	if k.closed || m.Requests[b].Ticket != 0 && m.Requests[b].Ticket != int(k.ticket) {
		return false
	}
	return m.without[noCap] || m.used(k) < m.Cap
}

// used counts the uses of the newest ticket. What was admitted on an earlier one is told apart only where tickets end.
func (m *Model) used(k *keys) int {
	if k.ticket > 1 {
		return 0
	}
	return ((k.outbox | k.settled) &^ k.base).len()
}

func (m *Model) voterMay(votes set, b int) bool {
	if v := m.Requests[b].Retracts; v != 0 {
		return votes.has(v - 1)
	}
	return votes.len() < m.VoterLimit || m.without[noVoterLimit]
}

// settle moves a batch from the outbox to the tally; it returns whether the batch is settled now.
func (m *Model) settle(s *State, k *keys, b int) bool {
	if !k.outbox.has(b) && !m.without[settleTwice] {
		return k.settled.has(b)
	}
	k.outbox &^= one(b)
	k.claimed &^= one(b)
	if k.tally.has(b) {
		s.broken = countedTwiceInRedis
	}
	k.settled |= one(b)
	k.tally |= one(b)
	return true
}

// refund undoes an admission that nobody has claimed.
func (m *Model) refund(k *keys, b int) bool {
	if !k.outbox.has(b) || k.claimed.has(b) && !m.without[refundClaimed] {
		return false
	}
	k.outbox &^= one(b)
	k.claimed &^= one(b)
	k.refunded |= one(b)
	if v := m.Requests[b].Retracts; v != 0 {
		k.voterVotes |= one(v - 1)
	} else {
		k.voterVotes &^= one(b)
	}
	return true
}
