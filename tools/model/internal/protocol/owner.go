package protocol

import "github.com/littlevote/littlevote/tools/model/internal/explore"

// ownerSteps is what the instance that a request came to does with it.
func (m *Model) ownerSteps(s *State, b int, out emit) {
	i := m.home(s, b)
	if i < 0 {
		return
	}
	switch s.batches[b].pc {
	case fresh:
		m.begin(s, b, i, out)
	case looking:
		m.lookUp(s, b, i, out)
	case asking:
		m.ask(s, b, i, out)
	case admitted:
		m.produce(s, b, i, out)
	case falling:
		m.fallBack(s, b, i, out)
	case refunding:
		m.giveBack(s, b, i, out)
	case durable:
		m.settleOwn(s, b, i, out)
	case settled:
		m.answer(s, b, i, out)
	case awaiting:
		m.awaitEnd(s, b, i, out)
	case waiting:
		m.wait(s, b, i, out)
	case casting:
		m.castOwn(s, b, i, out)
	}
}

// home is the instance that has the request: once it is begun that does not change; before, any that lives may get it.
func (m *Model) home(s *State, b int) int {
	i := m.Requests[b].Instance
	if at := s.batches[b].at; at != 0 {
		i = int(at) - 1
	} else if !s.instances[i].up {
		i = 1 - i
	}
	if !s.instances[i].up {
		return -1
	}
	return i
}

// say answers a request.
func (s *State) say(b int, o outcome) {
	s.batches[b].pc, s.batches[b].outcome, s.batches[b].on = answered, o, 0
	s.batches[b].looked, s.batches[b].lookedUp, s.batches[b].maybeSent = 0, 0, false
	if o == ok {
		s.acked |= one(b)
	}
}

// refuse is a definite refusal that says something about the vote; one of its key must not count.
func (m *Model) refuse(s *State, b int) {
	if m.keyInPg(s, b) >= 0 {
		s.broken = deniedThoughCounted
	}
	s.say(b, denied)
}

// begin forms the batch under what the instance believes, and has it admitted.
func (m *Model) begin(s *State, b, i int, out emit) {
	r := m.Requests[b]
	if r.Retracts != 0 && !s.acked.has(r.Retracts-1) {
		if s.batches[r.Retracts-1].pc == answered {
			n := *s
			n.say(b, refused) // nobody takes back what he was not told to count
			out(step(actNoLedger, b, i, 0), explore.Progress, n)
		}
		return
	}
	if r.After != 0 && s.batches[r.After-1].pc != answered {
		return
	}
	n := *s
	l := n.instances[i].believes
	n.batches[b].ledger, n.batches[b].at = l, uint8(i+1)
	switch l.mode {
	case redis:
		m.sendAdmit(&n, b, i, out)
	case postgres:
		n.batches[b].pc = casting
		m.castOwn(&n, b, i, out)
	default:
		n.say(b, refused)
		out(step(actNoLedger, b, i, 0), explore.Progress, n)
	}
}

// sendAdmit is rule 1's first step, with what can become of the call and its reply.
func (m *Model) sendAdmit(s *State, b, i int, out emit) {
	n := *s
	out(m.admitNow(&n, b, i), explore.Progress, n)
	if s.still(ReplyLost) {
		lost := s.with(ReplyLost)
		late := *lost
		if k, r := m.fenced(lost, i, lost.batches[b].ledger); r == fine {
			if v, _ := m.admit(lost, k, b); v == admitOK {
				lost.batches[b].pc = asking
				out(step(actAdmitLost, b, i, 0), explore.Chance, *lost)
			}
		}
		late.batches[b].pc = asking
		late.admits |= one(b)
		out(step(actAdmitLate, b, i, 0), explore.Chance, late)
	}
	if s.still(Resent) {
		twice := s.with(Resent)
		twice.admits |= one(b)
		out(m.admitNow(twice, b, i), explore.Chance, *twice)
	}
}

// admitNow runs the script and takes its reply in.
func (m *Model) admitNow(s *State, b, i int) Step {
	k, r := m.fenced(s, i, s.batches[b].ledger)
	switch r {
	case away:
		s.say(b, refused)
		return step(actAway, b, i, 0)
	case wrongEpoch:
		s.say(b, refused)
		return step(actWrongEpoch, b, i, 0)
	}
	me := &s.batches[b]
	v, on := m.admit(s, k, b)
	switch v {
	case admitOK, admitKnown:
		me.pc = admitted
		if m.without[ackBeforeProduce] {
			s.acked |= one(b)
		}
		return step(actAdmitted, b, i, 0)
	case admitSame:
		if m.without[pendingIsSame] {
			s.acked |= one(on)
			s.say(b, ok)
			s.acked &^= one(b)
			return step(actSame, b, i, on+1)
		}
		me.pc, me.on = waiting, uint8(on+1)
		return step(actWait, b, i, on+1)
	case admitPending:
		me.pc, me.on = waiting, uint8(on+1)
		return step(actWait, b, i, on+1)
	case admitLookUp:
		me.pc = looking
		return step(actLookUp, b, i, 0)
	}
	m.refuse(s, b)
	return step(actDenied, b, i, 0)
}

// lookUp asks Postgres for a key or a voter, and goes on in whatever ledger is on then.
func (m *Model) lookUp(s *State, b, i int, out emit) {
	l := s.instances[i].believes
	n := *s
	if l.mode != redis {
		n.batches[b].pc = fresh
		m.begin(&n, b, i, out)
		return
	}
	if at := s.batches[b].lookedUp; at == l.epoch || at != 0 && m.without[lookUpOfAnyEpoch] {
		n.batches[b].ledger = l
		m.sendAdmit(&n, b, i, out)
		return
	}
	if x := m.keyInPg(s, b); x >= 0 {
		n.batches[b].ledger = l
		n.batches[b].pc, n.batches[b].on = waiting, uint8(x+1)
		out(step(actFoundInPg, b, i, x+1), explore.Progress, n)
		return
	}
	n.batches[b].lookedUp = l.epoch
	if m.Requests[b].Voter {
		n.batches[b].looked = m.votesInPg(s.counted)
	}
	out(step(actLookedUp, b, i, 0), explore.Progress, n)
}

// ask finds out about an admission without an answer: only that the batch is known is news.
func (m *Model) ask(s *State, b, i int, out emit) {
	n := *s
	k, r := m.fenced(&n, i, n.batches[b].ledger)
	if r == fine && k.outbox.has(b) {
		n.batches[b].pc = admitted
		out(step(actKnown, b, i, 0), explore.Progress, n)
		return
	}
	if m.without[resendRefused] {
		n.say(b, refused)
	} else {
		n.say(b, unknown)
	}
	out(step(actFindOut, b, i, 0), explore.Progress, n)
}

// produce is rule 1's second step.
func (m *Model) produce(s *State, b, i int, out emit) {
	n := *s
	if n.push(m.lane(b), b) {
		n.batches[b].pc = durable
		if m.without[answerBeforeSettle] {
			n.say(b, ok)
			n.batches[b].pc = durable
		}
		out(step(actProduced, b, i, 0), explore.Progress, n)
	}
	if s.still(ProduceFails) {
		f := s.with(ProduceFails)
		f.batches[b].pc = falling
		out(step(actProduceFails, b, i, 0), explore.Chance, *f)
	}
	if s.still(ProduceLost) {
		f := s.with(ProduceLost)
		f.batches[b].pc, f.batches[b].maybeSent = falling, true
		f.produces |= one(b)
		out(step(actProduceLost, b, i, 0), explore.Chance, *f)
	}
}

// lane is the partition that the owner writes to; whoever takes over writes to the other one.
func (m *Model) lane(b int) int { return b % m.Partitions }

// fallBack is rule 2: the same batch, under the same id, to Postgres.
func (m *Model) fallBack(s *State, b, i int, out emit) {
	if s.still(PgFails) {
		f := s.with(PgFails)
		f.batches[b].pc = refunding
		if f.batches[b].maybeSent && !m.without[refundMaybeSent] {
			f.say(b, unknown)
		}
		out(step(actApplyFails, b, i, 0), explore.Chance, *f)
	}
	if s.still(CommitLost) {
		f := s.with(CommitLost)
		f.commits |= one(b)
		if m.without[refundAfterCommitUnknown] {
			f.batches[b].pc = refunding
		} else {
			f.say(b, unknown)
		}
		out(step(actCommitLost, b, i, 0), explore.Chance, *f)
	}
	if !s.free() {
		return
	}
	n := *s
	switch m.apply(&n, b) {
	case over:
		n.say(b, refused)
		out(step(actApplyOver, b, i, 0), explore.Progress, n)
		return
	case refusedRow:
		n.batches[b].pc = refunding
		out(step(actApplyFails, b, i, 0), explore.Progress, n)
		return
	}
	n.batches[b].pc = durable
	out(step(actApplied, b, i, 0), explore.Progress, n)
}

// giveBack is the refund: only if Redis says that it did is that a definite refusal.
func (m *Model) giveBack(s *State, b, i int, out emit) {
	n := *s
	k, r := m.fenced(&n, i, n.batches[b].ledger)
	if r == fine && m.refund(k, b) {
		n.say(b, refused)
		out(step(actRefunded, b, i, 0), explore.Progress, n)
		if s.still(ReplyLost) {
			n.may(ReplyLost)
			n.say(b, unknown)
			out(step(actReplyLost, b, i, 0), explore.Chance, n)
		}
		return
	}
	n.say(b, unknown)
	out(step(actNotRefunded, b, i, 0), explore.Progress, n)
}

// settleOwn is rule 1's third step.
func (m *Model) settleOwn(s *State, b, i int, out emit) {
	n := *s
	if m.without[answerBeforeSettle] && n.batches[b].outcome == ok {
		if k, r := m.fenced(&n, i, n.batches[b].ledger); r == fine {
			m.settle(&n, k, b)
		}
		n.batches[b].pc = answered
		out(step(actSettled, b, i, 0), explore.Progress, n)
		return
	}
	k, r := m.fenced(&n, i, n.batches[b].ledger)
	switch {
	case r == away && s.instances[i].believes == s.batches[b].ledger:
		n.say(b, unknown)
		out(step(actGivesUp, b, i, 0), explore.Progress, n)
		return
	case r != fine:
		n.batches[b].pc = awaiting
		out(step(actNotLive, b, i, 0), explore.Progress, n)
		return
	}
	if !m.settle(&n, k, b) {
		n.say(b, unknown)
		out(step(actNotInOutbox, b, i, 0), explore.Progress, n)
		return
	}
	if s.still(ReplyLost) {
		lost := n
		lost.may(ReplyLost)
		lost.batches[b].pc = durable // it asks again
		out(step(actReplyLost, b, i, 0), explore.Chance, lost)
	}
	n.batches[b].pc = settled
	out(step(actSettled, b, i, 0), explore.Progress, n)
}

// live is the lease check: what this ledger has just said may be told as true.
func (m *Model) live(s *State, i int, l ledger) bool {
	return m.without[noLeaseCheck] || s.instances[i].believes == l
}

func (m *Model) answer(s *State, b, i int, out emit) {
	n := *s
	if m.live(s, i, n.batches[b].ledger) {
		n.say(b, ok)
		out(step(actSuccess, b, i, 0), explore.Progress, n)
		return
	}
	n.batches[b].pc = awaiting
	out(step(actNotLive, b, i, 0), explore.Progress, n)
}

// awaitEnd: once the batch's epoch is over, Postgres knows for good whether it counts (rules 4 and 5).
func (m *Model) awaitEnd(s *State, b, i int, out emit) {
	n := *s
	switch {
	case s.row.epoch > s.batches[b].ledger.epoch && s.applied.has(b):
		n.say(b, ok)
		out(step(actOverCounted, b, i, 0), explore.Progress, n)
	case s.row.epoch > s.batches[b].ledger.epoch:
		n.say(b, refused)
		out(step(actOverNot, b, i, 0), explore.Progress, n)
	case s.instances[i].believes == s.batches[b].ledger: // only its own lease was over, or it was cut off
		n.say(b, unknown)
		out(step(actGivesUp, b, i, 0), explore.Progress, n)
	}
}

// castOwn decides a vote in Postgres.
func (m *Model) castOwn(s *State, b, i int, out emit) {
	if s.still(CommitLost) {
		f := s.with(CommitLost)
		f.commits |= one(b)
		f.say(b, unknown)
		out(step(actCommitLost, b, i, 0), explore.Chance, *f)
	}
	if !s.free() {
		out(step(actCastWaits, b, i, 0), explore.Progress, *s)
		return
	}
	n := *s
	l := n.batches[b].ledger
	done, on := m.cast(&n, b)
	switch {
	case done && on == b:
		n.say(b, ok)
		out(step(actCast, b, i, 0), explore.Progress, n)
	case done:
		n.acked |= one(on)
		n.say(b, ok)
		n.acked &^= one(b)
		out(step(actSame, b, i, on+1), explore.Progress, n)
	case n.row.ledger != l || !n.row.open:
		n.say(b, refused)
		out(step(actCastDenied, b, i, 0), explore.Progress, n)
	default:
		m.refuse(&n, b)
		out(step(actCastDenied, b, i, 0), explore.Progress, n)
	}
}
