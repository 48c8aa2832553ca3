package protocol

import "github.com/littlevote/littlevote/tools/model/internal/explore"

// beginLoad takes the row, reads the ledger, and makes the marker of a fresh name, with the replication id of the node.
func (m *Model) beginLoad(s *State, i int, out emit) {
	if !s.free() || s.row.epoch == maxEpoch || s.lastName == maxNames {
		return
	}
	n := *s
	nd := n.reach(i)
	if !nd.master {
		return
	}
	if !m.without[noRecordSwitch] {
		n.row.lock = uint8(i + 1)
	}
	c := &n.changers[i]
	c.phase, c.snapshot, c.closed = loading, n.counted, n.closed
	if m.without[sameName] && s.row.name != 0 {
		c.name = s.row.name
	} else {
		n.lastName++
		c.name = n.lastName
	}
	nd.names[c.name] = keys{marker: true, loading: true, epoch: s.row.epoch + 1, replid: nd.replid, closed: n.closed, ticket: 1}
	out(step(actLoadBegins, 0, i, int(c.name)), explore.Progress, n)
}

// fill writes the counts. Nothing but the name keeps this from the keys of another ledger.
func (m *Model) fill(s *State, i int, out emit) {
	n := *s
	c := &n.changers[i]
	nd := n.reach(i)
	if nd == nil {
		m.failLoad(s, i, out)
		return
	}
	k := &nd.names[c.name]
	k.tally, k.base, k.settled = c.snapshot, c.snapshot, k.settled&^c.snapshot
	c.phase = filled
	out(step(actLoadFills, 0, i, int(c.name)), explore.Progress, n)
}

// finish looks whether the marker is there, on the node that it was made on, and takes the sign of loading away.
func (m *Model) finish(s *State, i int, out emit) {
	n := *s
	c := &n.changers[i]
	nd := n.reach(i)
	if nd == nil {
		m.failLoad(s, i, out)
		return
	}
	k := &nd.names[c.name]
	there := k.marker && !k.sealed && k.epoch == c.from.epoch+1
	same := nd.master && k.replid == nd.replid || m.without[finishUnchecked]
	if !m.without[loadUnfinished] && (!there || !same) {
		m.failLoad(s, i, out)
		return
	}
	k.loading = false
	c.phase = finished
	out(step(actLoadFinishes, 0, i, int(c.name)), explore.Progress, n)
}

// failLoad gives the row back as it was. The name is nobody's.
func (m *Model) failLoad(s *State, i int, out emit) {
	n := *s
	n.changers[i] = changer{}
	if n.row.lock == uint8(i+1) {
		n.row.lock = 0
	}
	out(step(actLoadFails, 0, i, int(s.changers[i].name)), explore.Progress, n)
}

// switchTo commits the row. Of two loaders the row's value lets only one; a loader whose transaction is gone can't.
func (m *Model) switchTo(s *State, i int, out emit) {
	c := s.changers[i]
	holds := s.row.lock == uint8(i+1) || m.without[noRecordSwitch]
	if !holds || s.row.ledger != c.from || s.row.epoch == maxEpoch {
		m.drop(s, i, out)
		return
	}
	n := *s
	n.row = row{ledger: ledger{epoch: s.row.epoch + 1, mode: redis, name: c.name}, open: true}
	n.changers[i] = changer{phase: forgetting, name: c.from.name}
	if c.from.name == 0 || m.without[sameName] {
		n.changers[i] = changer{}
	}
	out(step(actOpensRedis, 0, i, int(n.row.epoch)), explore.Progress, n)
	if s.still(SwitchLost) {
		n.may(SwitchLost)
		n.changers[i] = changer{} // it can't tell whether the new name is in the row, so it deletes neither
		if m.without[forgetsAtOnce] {
			n.changers[i] = changer{phase: forgetting, name: c.name}
		}
		out(step(actSwitchLost, 0, i, int(n.row.epoch)), explore.Chance, n)
	}
}

// forget deletes the keys of a name that no epoch has any more, one by one: the marker may be the last.
func (m *Model) forget(s *State, i int, out emit) {
	n := *s
	c := &n.changers[i]
	name := c.name
	nd := n.reach(i)
	if nd == nil {
		*c = changer{}
		out(step(actForgetsMarker, 0, i, int(name)), explore.Chance, n)
		return
	}
	k := &nd.names[name]
	alone := keys{marker: k.marker, epoch: k.epoch, replid: k.replid, sealed: k.sealed, loading: k.loading, ticket: k.ticket}
	if *k != alone {
		*k = alone
		out(step(actForgetsKeys, 0, i, int(name)), explore.Progress, n)
		return
	}
	*k, *c = keys{}, changer{}
	out(step(actForgetsMarker, 0, i, int(name)), explore.Progress, n)
}

// stall: Postgres ends the transaction of a loader, who does not know yet.
func (m *Model) stall(s *State, i int, out emit) {
	c := s.changers[i]
	if s.row.lock != uint8(i+1) || c.phase != loading && c.phase != filled && c.phase != finished || !s.still(LoaderStalls) {
		return
	}
	n := s.with(LoaderStalls)
	n.row.lock = 0
	out(step(actLoaderStalls, 0, i, 0), explore.Chance, *n)
}

// makeBallot makes the only ballot in the open epoch: its row, committed; its marker, as unfinished; a look whether the
// row of the epoch still stands; and only then the marker is finished, if it is still there. All by whoever wrote the
// row, once. Without the look in the middle somebody whose lease runs on could make a marker in an epoch that is over:
// the short way through the barrier does not wait for leases, and what it sealed may be deleted.
func (m *Model) makeBallot(s *State, i int, out emit) {
	l := s.instances[i].believes
	if l.epoch == 1 && s.makes == (ledger{}) && s.row.ledger == l && s.row.open && s.free() {
		n := *s
		n.maker, n.makes = uint8(i+1), l
		out(step(actRowMade, 0, i, int(l.epoch)), explore.Progress, n)
	}
	if s.maker != uint8(i+1) {
		return
	}
	n := *s
	nd := n.reach(i)
	name := int(s.makes.name)
	if nd == nil || !nd.master || !m.makeMarker(&n, &nd.names[name], nd.replid) {
		n.maker, n.confirmed = 0, false
		out(step(actMarkerRefused, 0, i, name), explore.Progress, n)
		return
	}
	switch {
	case n.maker == 0:
		out(step(actMarkerFinished, 0, i, name), explore.Progress, n)
	case n.confirmed:
		out(step(actRowStands, 0, i, int(s.makes.epoch)), explore.Progress, n)
	default:
		out(step(actMarkerMade, 0, i, name), explore.Progress, n)
	}
}

// makeMarker does the next of the three steps; false if that can't be.
func (m *Model) makeMarker(s *State, k *keys, replid uint8) bool {
	switch {
	case s.confirmed:
		if !k.marker || k.sealed || k.replid != replid {
			return false
		}
		k.loading, s.maker, s.confirmed = false, 0, false
	case k.marker:
		if !k.loading || s.row.ledger != s.makes || !s.row.open {
			return false
		}
		s.confirmed = true
	case k.sealed:
		return false
	default:
		*k = keys{marker: true, loading: true, epoch: s.makes.epoch, replid: replid, voterKnown: true, ticket: 1}
		if m.without[markerUnconfirmed] {
			k.loading, s.maker = false, 0
		}
	}
	return true
}
