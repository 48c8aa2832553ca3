package protocol

import "github.com/littlevote/littlevote/tools/model/internal/explore"

// readSteps is a read of counts from Postgres that votes may not be decided in.
func (m *Model) readSteps(s *State, out emit) {
	if !s.read.running {
		n := *s
		n.read = read{running: true, acked: s.acked, behind: s.behind()}
		if m.without[behindShown] {
			n.read.behind = [maxPartitions]uint8{}
		}
		out(step(actReadBegins, 0, 0, 0), explore.Chance, n)
		return
	}
	n := *s
	n.read = read{}
	if s.read.behind != [maxPartitions]uint8{} {
		out(step(actReadRefused, 0, 0, 0), explore.Chance, n)
		return
	}
	if !s.read.acked.within(s.counted) {
		n.broken = readMisses
	}
	out(step(actReadAnswered, 0, 0, 0), explore.Chance, n)
}
