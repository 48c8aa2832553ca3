package protocol

import "github.com/littlevote/littlevote/tools/model/internal/explore"

// lateSteps are the arrivals of what nobody waits for any more.
func (m *Model) lateSteps(s *State, out emit) {
	for b := range m.Requests {
		if s.produces.has(b) {
			n := *s
			n.produces &^= one(b)
			if n.push(m.lane(b), b) {
				out(step(actProduceArrives, b, 0, 0), explore.Chance, n)
			}
		}
		if s.commits.has(b) && s.free() {
			n := *s
			n.commits &^= one(b)
			if n.batches[b].ledger.mode == postgres {
				m.cast(&n, b)
			} else {
				m.apply(&n, b)
			}
			out(step(actCommitArrives, b, 0, 0), explore.Chance, n)
		}
		if s.admits.has(b) {
			n := *s
			n.admits &^= one(b)
			i := int(n.batches[b].at) - 1
			if k, r := m.fenced(&n, i, n.batches[b].ledger); r == fine {
				m.admit(&n, k, b)
			}
			out(step(actAdmitArrives, b, i, 0), explore.Chance, n)
		}
	}
}

// persisterSteps: effect and offset in one transaction, under compare-and-set.
func (m *Model) persisterSteps(s *State, out emit) {
	for p := range m.Partitions {
		m.persist(s, p, out)
	}
	m.zombieSteps(s, out)
	if s.hanging == 0 {
		return
	}
	b := int(s.hanging) - 1
	n := *s
	n.hanging = 0
	if s.still(PersisterDies) {
		died := *n.with(PersisterDies)
		out(step(actPersisterDies, b, 0, 0), explore.Chance, died)
	}
	if s.free() {
		m.apply(&n, b)
		out(step(actHangingApplied, b, 0, 0), explore.Progress, n)
	}
}

func (m *Model) persist(s *State, p int, out emit) {
	if s.halted[p] {
		m.halted(s, p, out)
		return
	}
	if s.queue[p][0] == 0 || !s.free() {
		return
	}
	b := int(s.queue[p][0]) - 1
	n := *s
	switch {
	case m.without[offsetFirst]:
		if s.hanging != 0 {
			return
		}
		n.pop(p)
		n.hanging = uint8(b + 1)
		out(step(actOffsetFirst, b, 0, p), explore.Progress, n)
		return
	case m.apply(&n, b) == refusedRow:
		n = *s
		n.halted[p] = true
		out(step(actTripped, b, 0, p), explore.Progress, n)
	default:
		n.pop(p)
		out(step(actPersisted, b, 0, p), explore.Progress, n)
	}
	if s.still(Tripped) {
		t := s.with(Tripped)
		if m.without[deadLetterOurs] {
			t.pop(p)
		} else {
			t.halted[p] = true
		}
		out(step(actTripped, b, 0, p), explore.Chance, *t)
	}
	if s.still(PersisterStalls) && s.zombie.record == 0 {
		z := s.with(PersisterStalls)
		z.zombie = zombie{record: uint8(b + 1), part: uint8(p)}
		out(step(actPersisterStalls, b, 0, p), explore.Chance, *z)
	}
}

// halted: a partition that met a record of ours which can't be applied waits for somebody to repair what hinders it.
// A wrong check in the code itself nobody repairs.
func (m *Model) halted(s *State, p int, out emit) {
	if m.without[tallyCheck] {
		return
	}
	n := *s
	n.halted[p] = false
	out(step(actRepaired, 0, 0, p), explore.Progress, n)
}

// zombieSteps: the persister that had stalled goes on, believing that the offset is where it was.
func (m *Model) zombieSteps(s *State, out emit) {
	z := s.zombie
	if z.record == 0 || !s.free() {
		return
	}
	b := int(z.record) - 1
	n := *s
	n.zombie = zombie{}
	switch {
	case z.moved == 0:
		m.apply(&n, b)
		n.pop(int(z.part))
		n.zombie = zombie{}
		out(step(actZombieApplies, b, 0, int(z.part)), explore.Chance, n)
	case m.without[noOffsetCheck]:
		m.apply(&n, b)
		if z.moved > 1 {
			n.broken = offsetMovedBack
		}
		out(step(actZombieApplies, b, 0, int(z.part)), explore.Chance, n)
	default:
		out(step(actZombieRefused, b, 0, int(z.part)), explore.Chance, n)
	}
}
