package protocol

import "github.com/littlevote/littlevote/tools/model/internal/explore"

// wait is rule 7: a request that depends on another batch waits for it or drives it, and then answers as that one ends.
func (m *Model) wait(s *State, b, i int, out emit) {
	x := int(s.batches[b].on) - 1
	n := *s
	l := n.batches[b].ledger
	k, r := m.fenced(&n, i, l)
	if r != fine {
		n.say(b, unknown)
		out(step(actNotKnown, b, i, x+1), explore.Progress, n)
		return
	}
	own := n.batches[x].at == uint8(i+1) && n.batches[x].pc != answered
	switch {
	case k.outbox.has(x) && own, k.outbox.has(x) && n.batches[x].driver != 0:
		return // it is on its way
	case k.outbox.has(x):
		m.claim(&n, x, i, l, out)
	case m.Requests[b].Key == 0 || m.Requests[x].Key != m.Requests[b].Key:
		n.batches[b].pc, n.batches[b].on = fresh, 0 // busy is over: the request is decided now
		m.sendAdmit(&n, b, i, out)
	case !k.settled.has(x) && !s.counted.has(x):
		n.say(b, unknown)
		out(step(actNotKnown, b, i, x+1), explore.Progress, n)
	case m.live(s, i, l):
		n.acked |= one(x)
		n.say(b, ok)
		n.acked &^= one(b)
		out(step(actSame, b, i, x+1), explore.Progress, n)
	default:
		n.say(b, unknown)
		out(step(actNotKnown, b, i, x+1), explore.Progress, n)
	}
}

// claim takes a batch over. From here on it only goes forward.
func (m *Model) claim(s *State, b, i int, l ledger, out emit) {
	n := *s
	k, _ := m.fenced(&n, i, l)
	k.claimed |= one(b)
	me := &n.batches[b]
	me.driver, me.driverPC, me.driveIn = uint8(i+1), admitted, l
	out(step(actClaims, b, i, 0), explore.Progress, n)
}

// driverSteps is rule 6: recovery of what an owner left, and what whoever claimed a batch does with it.
func (m *Model) driverSteps(s *State, b int, out emit) {
	if s.batches[b].driver == 0 {
		for i := range s.instances {
			m.recover(s, b, i, out)
		}
		return
	}
	i := int(s.batches[b].driver) - 1
	switch s.batches[b].driverPC {
	case admitted:
		m.driveProduce(s, b, i, out)
	case falling:
		m.driveApply(s, b, i, out)
	case durable:
		m.driveSettle(s, b, i, out)
	}
}

// recover claims what stands in the outbox for longer than its owner's lease.
func (m *Model) recover(s *State, b, i int, out emit) {
	l := s.instances[i].believes
	if !s.instances[i].up || l.mode != redis {
		return
	}
	k, r := m.fenced(s, i, l)
	if r != fine || !k.outbox.has(b) {
		return
	}
	if owner := int(s.batches[b].at) - 1; s.instances[owner].up && s.batches[b].pc != answered {
		if i != owner && s.still(Slow) {
			m.claim(s.with(Slow), b, i, l, func(st Step, _ explore.Kind, n State) { out(st, explore.Chance, n) })
		}
		return
	}
	m.claim(s, b, i, l, out)
}

func (m *Model) driveProduce(s *State, b, i int, out emit) {
	n := *s
	if n.push((m.lane(b)+1)%m.Partitions, b) {
		n.batches[b].driverPC = durable
		out(step(actDriveProduced, b, i, 0), explore.Progress, n)
	}
	if s.still(ProduceFails) {
		f := s.with(ProduceFails)
		f.batches[b].driverPC = falling
		out(step(actDriveFails, b, i, 0), explore.Chance, *f)
	}
	if s.still(ProduceLost) {
		f := s.with(ProduceLost)
		f.batches[b].driverPC = falling
		f.produces |= one(b)
		out(step(actDriveLost, b, i, 0), explore.Chance, *f)
	}
}

func (m *Model) driveApply(s *State, b, i int, out emit) {
	if s.still(PgFails) {
		f := s.with(PgFails)
		f.leave(b)
		out(step(actDriveGivesUp, b, i, 0), explore.Chance, *f)
	}
	if s.still(CommitLost) {
		f := s.with(CommitLost)
		f.commits |= one(b)
		f.leave(b)
		out(step(actCommitLost, b, i, 0), explore.Chance, *f)
	}
	if !s.free() {
		return
	}
	n := *s
	if v := m.apply(&n, b); v == over || v == refusedRow {
		n.leave(b)
		out(step(actDriveGivesUp, b, i, 0), explore.Progress, n)
		return
	}
	n.batches[b].driverPC = durable
	out(step(actDriveApplied, b, i, 0), explore.Progress, n)
}

func (m *Model) driveSettle(s *State, b, i int, out emit) {
	n := *s
	if k, r := m.fenced(&n, i, n.batches[b].driveIn); r == fine {
		m.settle(&n, k, b)
		n.leave(b)
		out(step(actDriveSettled, b, i, 0), explore.Progress, n)
		return
	}
	n.leave(b)
	out(step(actDriveGivesUp, b, i, 0), explore.Progress, n)
}

// leave ends a drive.
func (s *State) leave(b int) {
	me := &s.batches[b]
	me.driver, me.driverPC, me.driveIn = 0, fresh, ledger{}
}
