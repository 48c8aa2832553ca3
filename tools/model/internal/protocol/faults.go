package protocol

import "github.com/littlevote/littlevote/tools/model/internal/explore"

// redisFaults is what happens to the nodes by themselves.
func (m *Model) redisFaults(s *State, out emit) {
	nd := s.nodes[0]
	if s.still(Flushed) && nd.master && !s.nodes[1].master {
		n := s.with(Flushed)
		n.nodes[0].names = [maxNames + 1]keys{}
		out(step(actFlushed, 0, 0, 0), explore.Chance, *n)
	}
	if s.still(Away) && nd.up && !s.nodes[1].master {
		n := s.with(Away)
		n.nodes[0].up = false
		out(step(actAwayNow, 0, 0, 0), explore.Chance, *n)
	}
	if !nd.up {
		n := *s
		n.nodes[0].up = true
		out(step(actBack, 0, 0, 0), explore.Chance, n)
	}
	m.replication(s, out)
	k := nd.names[s.row.name]
	if s.row.mode == redis && s.still(TicketEnds) && k.marker {
		n := s.with(TicketEnds)
		n.nodes[0].names[s.row.name].ticket++
		out(step(actTicketEnds, 0, 0, int(k.ticket+1)), explore.Chance, *n)
	}
	if s.row.mode == redis && s.still(Drifted) && k.tally != 0 {
		n := s.with(Drifted)
		lost := &n.nodes[0].names[s.row.name]
		lost.tally &= lost.tally - 1
		lost.drifted = true
		out(step(actDrifted, lowest(k.tally), 0, 0), explore.Chance, *n)
	}
}

func lowest(s set) int {
	for b := range maxBatches {
		if s.has(b) {
			return b
		}
	}
	return 0
}

// replication: the replica follows, at times; and becomes a primary with whatever it has, under another replication id.
func (m *Model) replication(s *State, out emit) {
	if s.nodes[1].master {
		return
	}
	if s.still(Copied) && s.nodes[0].names != s.nodes[1].names {
		n := s.with(Copied)
		n.nodes[1].names = n.nodes[0].names
		out(step(actCopied, 0, 0, 0), explore.Chance, *n)
	}
	if s.still(Promoted) {
		n := s.with(Promoted)
		n.lastRepl++
		n.nodes[1].master, n.nodes[1].replid = true, n.lastRepl
		out(step(actPromoted, 0, 0, 1), explore.Chance, *n)
	}
}
