package window

import (
	"fmt"

	"github.com/littlevote/littlevote/tools/model/internal/explore"
)

// The times, in minutes; they are those of redisledger and voting.
const (
	youngPast   = 2
	youngFuture = 1
	keyTTL      = 6
	maxLag      = 1
	patience    = 1 // how long a look-up holds
	ownerBound  = 2 // no owner and no driver takes as long from admission, or claim, to the log

	horizon  = 11
	maxEpoch = 3
)

// pc says where a request stands.
type pc uint8

const (
	unsent pc = iota
	sent
	told     // by Redis that it must look the key up
	asked    // how long the outbox waits; Postgres is next
	free     // Postgres does not know the key
	inOutbox // admitted, and not in the log
	claimed  // the same, with the key remembered anew
	inLog    // and settled
	applied
	over // answered without effect, or dropped with its epoch
)

type request struct {
	pc    pc
	since uint8 // when it was admitted or claimed, came into the log, or looked at the outbox
	epoch uint8 // of the look-up
	old   bool  // some batch had stood in the outbox for too long
}

// State is one idempotency key, and two requests that carry it.
type State struct {
	now      uint8
	chosen   bool
	v7       bool
	made     uint8 // what the key says
	epoch    uint8
	postgres bool  // the open epoch's votes are decided there
	loaded   uint8 // by the clock of Redis; 0: from an empty ledger
	kept     uint8 // until when Redis remembers the key
	known    bool  // to Postgres
	requests [2]request
}

// Model is explored.
type Model struct{ without [numRules]bool }

// New returns the model without some rules.
func New(without ...Rule) *Model {
	m := &Model{}
	for _, r := range without {
		m.without[r] = true
	}
	return m
}

// Init implements explore.Model: an epoch in Redis that begins with an empty ledger.
func (m *Model) Init() State { return State{now: 1, epoch: 1} }

type emit func(step Step, kind explore.Kind, next State)

// Next implements explore.Model.
func (m *Model) Next(s *State, out func(Step, explore.Kind, State)) {
	if !s.chosen {
		m.choose(s, out)
		return
	}
	if s.now < horizon {
		n := *s
		n.now++
		out(Step{actTick, 0, n.now}, explore.Chance, n)
	}
	if s.epoch < maxEpoch {
		for _, postgres := range []bool{false, true} {
			if !postgres || !s.postgres {
				out(Step{actEpoch, 0, s.epoch + 1}, explore.Chance, s.change(postgres))
			}
		}
	}
	for i := range s.requests {
		if i > 0 && s.requests[i-1].pc == unsent {
			return // whichever comes first is the first
		}
		m.step(s, i, func(step Step, kind explore.Kind, n State) {
			n.requests[i].tidy()
			out(step, kind, n)
		})
	}
}

// tidy forgets what does not matter any more.
func (r *request) tidy() {
	switch r.pc {
	case asked:
	case free:
		r.old = false
	case inOutbox, claimed, inLog:
		r.epoch, r.old = 0, false
	default:
		*r = request{pc: r.pc}
	}
}

func (m *Model) choose(s *State, out emit) {
	n := *s
	n.chosen = true
	out(Step{actKeyV4, 0, 0}, explore.Progress, n)
	for made := range uint8(horizon) {
		n.v7, n.made = true, made
		out(Step{actKeyV7, 0, made}, explore.Progress, n)
	}
}

// change opens the next epoch: what the log holds is applied first, what it does not hold never counts.
func (s *State) change(postgres bool) State {
	n := *s
	n.epoch++
	n.postgres, n.kept, n.loaded = postgres, 0, s.now
	for i := range n.requests {
		switch r := &n.requests[i]; r.pc {
		case inLog:
			r.pc, n.known = applied, true
		case inOutbox, claimed:
			r.pc = over
		}
		n.requests[i].tidy()
	}
	return n
}

func (m *Model) step(s *State, i int, out emit) {
	n := *s
	r := &n.requests[i]
	age := s.now - r.since
	emit := func(a act, kind explore.Kind) { out(Step{a, int8(i), 0}, kind, n) }
	switch r.pc {
	case unsent:
		r.pc = sent
		emit(actSends, explore.Chance)
	case sent, free:
		emit(m.decide(&n, r), explore.Progress)
	case told:
		r.pc, r.since, r.epoch, r.old = asked, s.now, s.epoch, m.outboxOld(s)
		emit(actAsks, explore.Progress)
	case asked:
		emit(m.lookUp(&n, r), explore.Progress)
	case inLog:
		r.pc, n.known = applied, true
		emit(actApplied, explore.Progress)
	case inOutbox, claimed:
		if age < ownerBound {
			r.pc, r.since = inLog, s.now
			emit(actProduces, explore.Progress)
		}
		n = *s
		r.pc, r.since = claimed, s.now
		if !m.without[notAnew] {
			n.kept = s.now + keyTTL
		}
		emit(actClaims, explore.Chance)
	}
}

// ahead says that the key's time lies too far ahead of the clock to tell anything.
func (s *State) ahead() bool { return s.v7 && s.made >= s.now+youngFuture }

// young says that the key can't have been used before the window, nor before this epoch.
func (m *Model) young(s *State) bool {
	if !s.v7 || s.ahead() && !m.without[noFutureBound] || s.now >= s.made+youngPast {
		return false
	}
	return s.loaded == 0 || s.made > s.loaded+youngFuture
}

// decide is admission.
func (m *Model) decide(s *State, r *request) act {
	if s.postgres {
		return m.cast(s, r)
	}
	looked := r.pc == free && r.epoch == s.epoch && (s.now-r.since < patience || m.without[lookUpForEver])
	switch {
	case s.now < s.kept:
		r.pc = over
		return actSame
	case !looked && !m.young(s):
		r.pc = told
		return actTold
	case looked && s.ahead() && !m.without[aheadAdmitted]:
		r.pc = over
		return actAhead
	}
	r.pc, r.since, s.kept = inOutbox, s.now, s.now+keyTTL
	if m.without[forgetsSoon] {
		s.kept = s.now + youngPast/2
	}
	return actAdmitted
}

// cast is admission in an epoch in Postgres.
func (m *Model) cast(s *State, r *request) act {
	switch {
	case s.known:
		r.pc = over
		return actSame
	case s.ahead() && !m.without[aheadAdmitted]:
		r.pc = over
		return actAhead
	}
	r.pc, s.known = applied, true
	return actCast
}

// outboxOld says that a batch stands in the outbox for so long that Redis may have forgotten its keys.
func (m *Model) outboxOld(s *State) bool {
	for _, r := range s.requests {
		// Claiming does not make a batch younger; but its own time is all that matters here.
		if (r.pc == inOutbox || r.pc == claimed) && s.now-r.since >= maxLag {
			return true
		}
	}
	return false
}

func (m *Model) lookUp(s *State, r *request) act {
	behind := false
	for _, other := range s.requests {
		behind = behind || other.pc == inLog && s.now-other.since >= maxLag
	}
	switch {
	case s.known:
		r.pc = over
		return actSame
	case (behind || r.old) && !m.without[lookUpIgnoresLag]:
		r.pc = over
		return actUnknown
	}
	r.pc = free
	return actFree
}

// Check implements explore.Model.
func (m *Model) Check(s *State) string {
	n := 0
	for _, r := range s.requests {
		if r.pc == inLog || r.pc == applied {
			n++
		}
	}
	if n > 1 {
		return fmt.Sprintf("G2: the key counts %d times", n)
	}
	return ""
}

// Rest implements explore.Model.
func (m *Model) Rest(*State) string { return "" }
