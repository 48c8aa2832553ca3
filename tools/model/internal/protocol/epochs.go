package protocol

import "github.com/littlevote/littlevote/tools/model/internal/explore"

// instanceSteps is what each instance does for its own part in the epochs.
func (m *Model) instanceSteps(s *State, i int, out emit) {
	in := s.instances[i]
	if !in.up {
		if !in.expired && !in.stopped && in.joined == s.row.epoch {
			n := *s
			n.instances[i].expired = true
			out(step(actLeaseRunsOut, 0, i, 0), explore.Progress, n)
		}
		return
	}
	m.beat(s, i, out)
	m.instanceFaults(s, i, out)
	if n := s.masterOf(i); n >= 0 {
		moved := *s
		moved.instances[i].conn = uint8(n)
		out(step(actReconnects, 0, i, n), explore.Progress, moved)
	}
	if m.NewBallot {
		m.makeBallot(s, i, out)
	}
	m.changerSteps(s, i, out)
}

// masterOf returns the node that was promoted over the one that i talks to; -1 if there is none.
func (s *State) masterOf(i int) int {
	if s.instances[i].conn == 0 && s.nodes[1].master {
		return 1
	}
	return -1
}

// beat is a heartbeat: it reads the row under a share lock and, while it is open, writes the lease. When the epoch ends a
// participant first stops believing, and then says so.
func (m *Model) beat(s *State, i int, out emit) {
	in := s.instances[i]
	n := *s
	me := &n.instances[i]
	mayStop := !s.row.open && in.joined == s.row.epoch && !in.stopped
	switch {
	case s.row.open && s.free():
		if in.believes != s.row.ledger || in.joined != s.row.epoch || in.expired {
			me.believes, me.joined, me.stopped, me.expired = s.row.ledger, s.row.epoch, false, false
			out(step(actJoins, 0, i, int(s.row.epoch)), explore.Progress, n)
		}
	case mayStop && m.without[stopSaidFirst]:
		me.stopped = true
		out(step(actSaysStopped, 0, i, 0), explore.Progress, n)
	case !s.row.open && in.believes != ledger{}:
		me.believes = ledger{}
		out(step(actHears, 0, i, 0), explore.Progress, n)
	case mayStop && in.believes == ledger{}:
		me.stopped = true
		out(step(actSaysStopped, 0, i, 0), explore.Progress, n)
	}
}

func (m *Model) instanceFaults(s *State, i int, out emit) {
	if s.still(Killed) && s.instances[1-i].up {
		n := s.with(Killed)
		m.kill(n, i)
		out(step(actKilled, 0, i, 0), explore.Chance, *n)
	}
	if s.still(LeaseOver) && s.instances[i].believes != (ledger{}) {
		n := s.with(LeaseOver)
		n.instances[i].believes, n.instances[i].expired = ledger{}, true
		if m.without[noLeaseCheck] {
			n.instances[i].believes = s.instances[i].believes
		}
		out(step(actLeaseOver, 0, i, 0), explore.Chance, *n)
	}
	if s.still(CutOff) && !s.instances[i].cut {
		n := s.with(CutOff)
		n.instances[i].cut = true
		out(step(actCutOff, 0, i, 0), explore.Chance, *n)
	}
	if s.instances[i].cut {
		n := *s
		n.instances[i].cut = false
		out(step(actCutHealed, 0, i, 0), explore.Chance, n)
	}
}

// kill ends a process: its requests get no answer, its transactions are rolled back.
func (m *Model) kill(s *State, i int) {
	s.instances[i].up, s.instances[i].believes = false, ledger{}
	s.changers[i] = changer{}
	if s.row.lock == uint8(i+1) {
		s.row.lock = 0
	}
	if s.maker == uint8(i+1) {
		s.maker, s.confirmed = 0, false
	}
	for b := range m.Requests {
		if me := &s.batches[b]; me.at == uint8(i+1) && me.pc != answered {
			s.say(b, unknown)
		}
		if s.batches[b].driver == uint8(i+1) {
			s.leave(b)
		}
	}
}

// changerSteps is one instance's work on a change of epoch.
func (m *Model) changerSteps(s *State, i int, out emit) {
	switch s.changers[i].phase {
	case idle:
		if m.mayChange(s, i) {
			m.startChange(s, i, out)
		}
	case draining:
		m.open(s, i, out)
	case loading:
		m.fill(s, i, out)
	case filled:
		m.finish(s, i, out)
	case finished:
		m.switchTo(s, i, out)
	case forgetting:
		m.forget(s, i, out)
	}
	m.stall(s, i, out)
}

// mayChange keeps the number of changers at work within the scenario's bound.
func (m *Model) mayChange(s *State, i int) bool {
	return m.Changers > 1 || s.changers[1-i].phase == idle || !s.instances[1-i].up
}

// startChange ends the epoch for a reason, passes the barrier of one that ends, or returns from Postgres.
func (m *Model) startChange(s *State, i int, out emit) {
	switch {
	case s.row.open && s.row.mode == postgres:
		if s.reach(i) != nil {
			n := *s
			n.changers[i] = changer{phase: draining, from: s.row.ledger}
			m.beginLoad(&n, i, out)
		}
	case s.row.open && s.free():
		m.end(s, i, out)
	case !s.row.open:
		m.barrier(s, i, out)
	}
}

// end is step 1: this process finds Redis away and no other one contradicts, or finds another Redis than the epoch's;
// or somebody plans it.
func (m *Model) end(s *State, i int, out emit) {
	n := *s
	n.row.open = false
	_, r := m.fenced(s, i, s.row.ledger)
	_, other := m.fenced(s, 1-i, s.row.ledger)
	if r == wrongEpoch && !m.unmade(s) || r == away && (!s.instances[1-i].up || other == away) {
		out(step(actEnds, 0, i, int(s.row.epoch)), explore.Progress, n)
	}
	if s.still(Planned) {
		n.may(Planned)
		out(step(actEnds, 0, i, int(s.row.epoch)), explore.Chance, n)
	}
}

// unmade says that the only ballot has no row in the open epoch, so no marker that could be missing; or has it since a
// moment ago, and its marker is on the way.
func (m *Model) unmade(s *State) bool {
	return m.NewBallot && s.row.epoch == 1 && (s.makes == ledger{} || s.maker != 0)
}

// barrier is steps 2 and 3: everybody stopped or lost the lease, or Redis, which never had a replica, is sealed.
func (m *Model) barrier(s *State, i int, out emit) {
	n := *s
	n.changers[i] = changer{phase: draining, from: s.row.ledger, behind: s.behind()}
	if m.without[noDrain] {
		n.changers[i].behind = [maxPartitions]uint8{}
	}
	if m.everybodyStopped(s) || m.without[noBarrier] {
		out(step(actBarrier, 0, i, int(s.row.epoch)), explore.Progress, n)
		return
	}
	nd := n.reach(i)
	if nd == nil || !nd.master {
		return
	}
	k := &nd.names[s.row.name]
	if m.without[barrierByNewNode] && !m.stands(nd, k, s.row.ledger) {
		out(step(actBarrier, 0, i, int(s.row.epoch)), explore.Progress, n)
		return
	}
	if !m.Replicated {
		k.sealed = true
		out(step(actSealed, 0, i, int(s.row.epoch)), explore.Progress, n)
	}
}

func (m *Model) everybodyStopped(s *State) bool {
	for _, in := range s.instances {
		if in.joined == s.row.epoch && !in.stopped && !in.expired {
			return false
		}
	}
	return true
}

// open is step 5 or the beginning of 6, once the persister has passed the end offsets (step 4).
func (m *Model) open(s *State, i int, out emit) {
	c := s.changers[i]
	if s.row.ledger != c.from || s.row.open {
		m.drop(s, i, out)
		return
	}
	if c.behind != [maxPartitions]uint8{} || !s.free() || s.row.epoch == maxEpoch {
		return
	}
	if s.reach(i) != nil {
		m.beginLoad(s, i, out)
	}
	if s.reach(i) == nil || m.Hold {
		n := *s
		n.row = row{ledger: ledger{epoch: s.row.epoch + 1, mode: postgres}, open: true}
		n.changers[i] = changer{}
		out(step(actOpensPg, 0, i, int(n.row.epoch)), explore.Progress, n)
	}
}

// drop ends a change that somebody else has done.
func (m *Model) drop(s *State, i int, out emit) {
	n := *s
	n.changers[i] = changer{}
	if n.row.lock == uint8(i+1) {
		n.row.lock = 0
	}
	out(step(actSwitchTooLate, 0, i, int(s.changers[i].name)), explore.Progress, n)
}
