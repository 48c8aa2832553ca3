package protocol

import "github.com/littlevote/littlevote/tools/model/internal/explore"

// certifySteps closes the ballot and certifies it.
func (m *Model) certifySteps(s *State, out emit) {
	if !s.closed {
		n := *s
		n.closed = true
		out(step(actCloses, 0, 0, 0), explore.Progress, n)
		return
	}
	for i := range s.instances {
		m.closeMarker(s, i, out)
		m.beginCertify(s, i, out)
	}
	if s.certifier.running {
		m.endCertify(s, out)
	}
}

func (m *Model) closeMarker(s *State, i int, out emit) {
	l := s.instances[i].believes
	n := *s
	if k, r := m.fenced(&n, i, l); l.mode == redis && r == fine && !k.closed {
		k.closed = true
		out(step(actClosesMarker, 0, i, 0), explore.Progress, n)
	}
}

// beginCertify is steps 1 and 2: the marker closed and the outbox empty, as one script sees them; then the end offsets.
func (m *Model) beginCertify(s *State, i int, out emit) {
	l := s.instances[i].believes
	if s.certified || s.certifier.running || l == (ledger{}) || s.row.ledger != l || !s.row.open {
		return
	}
	if l.mode == redis {
		k, r := m.fenced(s, i, l)
		if r != fine || k.outbox != 0 && !m.without[certifyIgnoresOutbox] || !k.closed && !m.without[certifyUnclosed] {
			return
		}
	}
	n := *s
	n.certifier = certifier{running: true, in: l, behind: s.behind()}
	out(step(actCertifyBegins, 0, i, 0), explore.Progress, n)
}

// endCertify is steps 3 and 4.
func (m *Model) endCertify(s *State, out emit) {
	n := *s
	n.certifier = certifier{}
	switch {
	case s.row.ledger != s.certifier.in || !s.row.open:
		out(step(actCertifyAgain, 0, 0, 0), explore.Progress, n)
	case s.certifier.behind == [maxPartitions]uint8{} && s.free():
		n.certified, n.result = true, n.counted
		out(step(actCertified, 0, 0, 0), explore.Progress, n)
	}
}

// reconcileSteps compares tally and ledger at an exact cut.
func (m *Model) reconcileSteps(s *State, out emit) {
	if !s.cut.running {
		for i := range s.instances {
			m.takeCut(s, i, out)
		}
		return
	}
	n := *s
	n.cut = cut{}
	c := s.cut
	if s.row.ledger != c.in || !s.row.open {
		out(step(actCertifyAgain, 0, 0, 0), explore.Progress, n)
		return
	}
	if c.behind != [maxPartitions]uint8{} || !s.free() {
		return
	}
	k := s.keysOf(c.in)
	if c.tally == m.expected(s, c, k.base) {
		out(step(actCutEqual, 0, 0, 0), explore.Progress, n)
		return
	}
	if !k.drifted {
		n.broken = falseAlarm
	}
	n.row.open = false
	out(step(actCutDrift, 0, 0, 0), explore.Progress, n)
}

func (m *Model) takeCut(s *State, i int, out emit) {
	l := s.instances[i].believes
	k, r := m.fenced(s, i, l)
	if m.without[reconcileNever] || l.mode != redis || r != fine || s.row.ledger != l {
		return
	}
	n := *s
	n.cut = cut{running: true, in: l, tally: k.tally, outbox: k.outbox, admitted: k.outbox | k.settled | k.refunded | k.base, behind: s.behind()}
	if k.drifted {
		out(step(actCutTaken, 0, i, 0), explore.Progress, n)
		return
	}
	out(step(actCutTaken, 0, i, 0), explore.Chance, n)
}

// expected is what the tally of a cut must be: what was loaded, and the ledger of this epoch up to the cut's admission
// number, without what stood in the outbox.
func (m *Model) expected(s *State, c cut, base set) set {
	if m.without[reconcileLive] {
		return s.counted
	}
	var own set
	for b := range m.Requests {
		if s.counted.has(b) && s.batches[b].ledger == c.in {
			own |= one(b)
		}
	}
	return base | own&c.admitted&^c.outbox
}

// keysOf returns what the newest primary has under the ledger's name.
func (s *State) keysOf(l ledger) keys {
	if s.nodes[1].master {
		return s.nodes[1].names[l.name]
	}
	return s.nodes[0].names[l.name]
}
