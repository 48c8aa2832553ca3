package protocol

// applied is what pg_apply says.
type applied uint8

const (
	tookEffect applied = iota + 1
	duplicate          // it had taken effect before
	over               // its epoch is over or its ballot certified: it never will
	refusedRow         // the transaction fails, and always will (a known-wrong check)
)

// free says that no load holds the row: a transaction that reads it can go on.
func (s *State) free() bool { return s.row.lock == 0 }

// apply is pg_apply, one transaction.
func (m *Model) apply(s *State, b int) applied {
	if s.applied.has(b) && !m.without[noBatchIDs] {
		return duplicate
	}
	if s.batches[b].ledger.epoch != s.row.epoch && !m.without[applyIgnoresEpoch] {
		return over
	}
	if s.certified && !m.without[applyIgnoresCertified] {
		return over
	}
	if v := m.Requests[b].Retracts; v != 0 && m.without[tallyCheck] && !s.counted.has(v-1) {
		return refusedRow
	}
	m.count(s, b)
	return tookEffect
}

func (m *Model) count(s *State, b int) {
	if s.counted.has(b) {
		s.broken = countedTwice
	}
	s.applied |= one(b)
	s.counted |= one(b)
}

// keyInPg returns the batch that the key of b was applied with; -1 if there is none.
func (m *Model) keyInPg(s *State, b int) int {
	key := m.Requests[b].Key
	for x := range m.Requests {
		if key != 0 && m.Requests[x].Key == key && s.counted.has(x) {
			return x
		}
	}
	return -1
}

// votesInPg returns the voter's votes that count.
func (m *Model) votesInPg(counted set) set {
	var votes, back set
	for b, r := range m.Requests {
		if !r.Voter || !counted.has(b) {
			continue
		}
		if r.Retracts != 0 {
			back |= one(r.Retracts - 1)
		} else {
			votes |= one(b)
		}
	}
	return votes &^ back
}

// usedInPg counts the uses of a ticket, which belongs to one epoch.
func (m *Model) usedInPg(s *State, epoch, ticket uint8) int {
	n := 0
	for b := range m.Requests {
		if s.counted.has(b) && s.batches[b].ledger.epoch == epoch && s.batches[b].ticket == ticket {
			n++
		}
	}
	return n
}

// cast decides a vote in pg mode, one transaction. on is the batch that had the key before, or -1.
func (m *Model) cast(s *State, b int) (done bool, on int) {
	r := m.Requests[b]
	if l := s.batches[b].ledger; s.row.ledger != l || !s.row.open {
		return false, -1
	}
	if x := m.keyInPg(s, b); x >= 0 {
		return true, x
	}
	if s.closed || s.certified || r.Voter && !m.voterMay(m.votesInPg(s.counted), b) {
		return false, -1
	}
	if m.usedInPg(s, s.row.epoch, 1) >= m.Cap && !m.without[noCap] {
		return false, -1
	}
	s.batches[b].ticket = 1
	m.count(s, b)
	return true, b
}
