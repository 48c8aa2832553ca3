package ledgermodel_test

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/redisledger"
)

// change opens the next epoch under a fresh name.
func (p *play) change() {
	if p.fence.NS != "" {
		p.old = append(p.old, p.fence)
	}
	p.epoch++
	p.fence = redisledger.Fence{Epoch: p.epoch, NS: redisledger.NewNS()}
	fresh := p.rng.IntN(3) == 0
	for _, name := range p.ballots {
		b := p.someRules(name)
		b.State, b.OpensAt, b.ClosesAt = "open", time.Time{}, time.Time{}
		if p.rng.IntN(3) > 0 {
			b.HotVotes = p.hotVotes()
		}
		if !fresh {
			b.Admissions = int64(p.rng.IntN(1000))
			for i := range p.rng.IntN(4) {
				b.Counts = append(b.Counts, redisledger.Count{
					Name: fmt.Sprintf("%c", 'a'+i), Votes: 1<<53 + p.rng.Int64N(9), UpdatedAt: time.UnixMilli(p.rng.Int64N(1 << 40)),
				})
			}
		}
		each(p, "load "+name, func(l ledger) error { return l.Load(p.t.Context(), p.fence, b, fresh) })
		if p.rng.IntN(4) == 0 {
			each(p, "load again "+name, func(l ledger) error { return l.Load(p.t.Context(), p.fence, b, fresh) })
		}
	}
}

func (p *play) someRules(name string) redisledger.Ballot {
	p.rules++
	b := redisledger.Ballot{Name: name, Rules: p.rules, State: "open"}
	if p.rng.IntN(2) == 0 {
		b.VotesPerVoter = 1 + p.rng.Int64N(2)
	}
	now := p.s.modelAt()
	switch p.rng.IntN(10) {
	case 0:
		b.State = "paused"
	case 1:
		b.OpensAt = now.Add(time.Duration(1-2*p.rng.IntN(2)) * time.Minute)
	case 2:
		b.ClosesAt = now.Add(time.Duration(1-2*p.rng.IntN(2)) * time.Minute)
	case 3:
		b.State = "closed"
	}
	p.shape(&b)
	return b
}

// hotVotes is what Postgres would say of the votes for items.
// item is a candidate: by an id that tells when it was made, hot or cold or long to be hot, or by another name.
func (p *play) putRules() {
	b := p.someRules(p.ballot())
	if p.rng.IntN(5) == 0 {
		b.Rules = 1 // older than what is there
	}
	f := p.any()
	each(p, "rules", func(l ledger) error { return l.PutRules(p.t.Context(), f, b) })
}

func (p *play) mint(name string) {
	f := p.any()
	state, _ := p.on[0].Ticket(p.t.Context(), f, name)
	_, _ = p.on[1].Ticket(p.t.Context(), f, name)
	m := redisledger.Mint{
		Number: state.LastNumber + 1, Value: fmt.Sprintf("t%d", state.LastNumber+1), Cap: 5 + p.rng.Int64N(20),
		Interval: time.Duration(1+p.rng.IntN(40)) * time.Second, Fence: p.rng.Int64N(2),
	}
	if p.s.mini == nil {
		m.Interval = time.Hour
	}
	switch p.rng.IntN(6) {
	case 0:
		m.Number += p.rng.Int64N(3) - 1
	case 1:
		m.Cap = redisledger.NoCap
	}
	m.Version = fmt.Sprintf("%d.%d.%d", f.Epoch, m.Number, m.Fence)
	each(p, fmt.Sprintf("mint %s %+v", name, m), func(l ledger) any {
		done, from, to, err := l.Mint(p.t.Context(), f, name, m)
		return []any{done, from, to, err}
	})
}

// someBatch makes votes of all kinds, or retractions.
func (p *play) someBatch() *redisledger.Batch {
	off := time.Duration(0)
	if p.rng.IntN(30) == 0 {
		off = time.Duration(p.rng.IntN(13)-6) * redisledger.ClockBound / 5
		if p.s.mini == nil {
			off += 30 * time.Second // away from the bound: the two look at the time one after the other
		}
	}
	b := &redisledger.Batch{ID: p.newID(off), Ballot: p.ballot(), Payload: []byte("pay\nload\x00"), MaxNames: 5}
	if p.rng.IntN(4) == 0 {
		for range 1 + p.rng.IntN(2) {
			e := p.someEntry()
			p.target(&e, b)
			b.Entries = append(b.Entries, e)
		}
		return b
	}
	if p.rng.IntN(2) == 0 {
		p.mint(b.Ballot)
	}
	state, _ := p.on[0].Ticket(p.t.Context(), p.fence, b.Ballot)
	_, _ = p.on[1].Ticket(p.t.Context(), p.fence, b.Ballot)
	b.Tickets = []string{"", fmt.Sprintf("t%d", state.LastNumber), fmt.Sprintf("t%d", state.LastNumber-1)}[p.rng.IntN(3):]
	if p.rng.IntN(8) == 0 {
		b.Tickets = nil
	}
	for range p.rng.IntN(3) {
		if len(b.Tickets) == 0 {
			break
		}
		b.Groups = append(b.Groups, redisledger.Group{Ticket: p.rng.IntN(len(b.Tickets)), Votes: 1 + p.rng.IntN(4)})
	}
	for range p.rng.IntN(5) {
		e := p.someEntry()
		e.Ticket = p.rng.IntN(max(1, len(b.Tickets)))
		if p.rng.IntN(3) > 0 {
			e.Voter = p.voter()
			if p.rng.IntN(3) == 0 {
				p.target(&e, b)
				e.Replaces = true
			}
			p.votes = append(p.votes, e.VoteID)
		}
		b.Entries = append(b.Entries, e)
	}
	return b
}

// target makes an entry one that takes back what an earlier one cast, mostly.
// someVote is one that may count.
// somePeriod is the one of now, mostly.
func (p *play) someEntry() redisledger.Entry {
	e := redisledger.Entry{VoteID: p.newID(0)}
	if p.rng.IntN(2) == 0 {
		key := p.keys[p.rng.IntN(len(p.keys))]
		switch p.rng.IntN(4) {
		case 0:
			offs := []time.Duration{-3 * time.Minute, -time.Minute, 0, 30 * time.Second, 2 * time.Minute}
			key = p.newID(offs[p.rng.IntN(len(offs))])
			p.keys[p.rng.IntN(len(p.keys))] = key
		case 1:
			key[6] = 0x40 | key[6]&0x0f
		}
		hash := make([]byte, 16)
		hash[0] = byte(p.rng.IntN(6) / 5)
		e.Key, e.BodyHash, e.LookedUp, e.VoteID = key[:], hash, p.rng.IntN(2) == 0, key
	}
	e.Candidate = p.item()
	if p.rng.IntN(12) == 0 {
		e.Candidate = ""
	}
	e.Period, e.StatePeriod = p.somePeriod(), p.somePeriod()
	for range max(0, p.rng.IntN(5)-2) {
		e.NewNames = append(e.NewNames, p.name())
	}
	if p.rng.IntN(2) == 0 {
		e.VoterState = []uuid.UUID{}
		if p.rng.IntN(3) == 0 {
			e.VoterState = append(e.VoterState, p.someVote())
		}
	}
	return e
}

func (p *play) admit() {
	f, b := p.any(), p.someBatch()
	if len(p.held) > 0 && p.rng.IntN(10) == 0 { // sent again
		h := p.held[p.rng.IntN(len(p.held))]
		f, b = h.fence, h.batch
	}
	bound := 3 + p.rng.IntN(10)
	var settle [2]*redisledger.Settlement
	if p.rng.IntN(3) == 0 && len(p.held) > 0 {
		settle = p.settlement(p.held[p.rng.IntN(len(p.held))])
	}
	var verdicts [2]redisledger.Verdict
	var replies [2]redisledger.SettleReply
	var errs [2]error
	for i, l := range p.on {
		a, s := l.Admit(p.t.Context(), f, b, bound, settle[i])
		verdicts[i], replies[i], errs[i] = a.Verdict, s, a.Err
	}
	p.same(fmt.Sprintf("admit %s, bound %d: %+v -> %+v %v", f.NS, bound, b, verdicts[0], errs[0]),
		[]any{verdicts[0], errs[0], replies[0]}, []any{verdicts[1], errs[1], replies[1]})
	if errs[0] == nil && verdicts[0].Accepted() > 0 {
		p.held = append(p.held, &held{fence: f, batch: b, verdict: verdicts})
		for i, e := range b.Entries {
			if verdicts[0].Entries[i].Code == redisledger.OK && e.Voter != "" && (e.Retracts == uuid.Nil || e.Replaces) {
				p.cast = append(p.cast, castVote{b.Ballot, e, verdicts[0].At})
			}
		}
	}
	each(p, "known", func(l ledger) any { v, ok := l.Known(p.t.Context(), f, b.Ballot, b.ID); return []any{v, ok} })
}

// settlement gives names counts by how many votes were accepted; for retractions they are negative.
func (p *play) settlement(h *held) [2]*redisledger.Settlement {
	var pair [2]*redisledger.Settlement
	sign := int64(1)
	if len(h.batch.Tickets) == 0 {
		sign = -1
	}
	for i, v := range h.verdict {
		pair[i] = &redisledger.Settlement{
			Fence: h.fence, ID: h.batch.ID, Ballot: h.batch.Ballot, AdmittedAt: v.At,
			Names: []string{"a", "g"}, Counts: []int64{sign * int64(v.Accepted()), sign},
		}
	}
	return pair
}

func (p *play) pick() *held {
	if len(p.held) == 0 {
		return nil
	}
	return p.held[max(0, len(p.held)-1-p.rng.IntN(6))]
}

func (p *play) settle() {
	h := p.pick()
	if h == nil {
		return
	}
	pair := p.settlement(h)
	p.same("settle "+h.batch.ID.String(), p.on[0].Settle(p.t.Context(), pair[0]), p.on[1].Settle(p.t.Context(), pair[1]))
}

func (p *play) refund() {
	h := p.pick()
	if h == nil {
		return
	}
	var got [2][]any
	for i, l := range p.on {
		ok, err := l.Refund(p.t.Context(), h.fence, h.batch, &h.verdict[i])
		got[i] = []any{ok, err}
	}
	p.same("refund "+h.batch.ID.String(), got[0], got[1])
}

func (p *play) claim() {
	h := p.pick()
	if h == nil {
		return
	}
	each(p, "claim "+h.batch.ID.String(), func(l ledger) any {
		c, how, err := l.Claim(p.t.Context(), h.fence, h.batch.Ballot, h.batch.ID, "me")
		return []any{c, how, err}
	})
	var keys [][]byte
	for i, e := range h.batch.Entries {
		if h.verdict[0].Entries[i].Code == redisledger.OK && len(e.Key) > 0 {
			keys = append(keys, e.Key, e.BodyHash)
		}
	}
	each(p, "remember", func(l ledger) error {
		return l.Remember(p.t.Context(), h.fence, h.batch.Ballot, h.batch.ID, keys)
	})
}

func (p *play) key() {
	f, name, key := p.any(), p.ballot(), p.keys[p.rng.IntN(len(p.keys))]
	each(p, "key "+key.String(), func(l ledger) any {
		state, batch, err := l.KeyStatus(p.t.Context(), f, name, key)
		return []any{state, batch, err}
	})
}

// evict drops what is cold, some of it as it was not seen.
// pass lets time pass, where the test has it in hand.
func (p *play) pass() {
	if p.s.mini == nil {
		return
	}
	d := time.Duration(p.rng.Int64N(int64(20 * time.Second)))
	switch p.rng.IntN(20) {
	case 0, 1, 2, 3:
		d = time.Duration(p.rng.Int64N(int64(5 * time.Minute)))
	case 4, 5:
		d = redisledger.ClockBound + time.Duration(p.rng.Int64N(int64(10*time.Minute)))
	}
	d = d.Truncate(time.Millisecond)
	p.s.advance(d)
	p.log = append(p.log, "pass "+d.String())
}

// spoil ends the epoch in one of the ways in which a Redis loses it, looks, and opens the next.
func (p *play) spoil() {
	ctx := p.t.Context()
	switch p.rng.IntN(3) {
	case 0:
		each(p, "seal", func(l ledger) error { return l.Seal(ctx, p.fence, p.ballots[0]) })
	case 1:
		each(p, "lose", func(l ledger) error { return l.Unlink(ctx, p.fence.NS) })
		each(p, "seal what is lost", func(l ledger) error { return l.Seal(ctx, p.fence, p.ballots[1]) })
	default:
		p.unlikeAll()
		p.model.Promote(int(p.epoch))
		p.log = append(p.log, "promote")
	}
	for _, name := range p.ballots {
		p.look(name)
		b := p.someRules(name)
		each(p, "load over it", func(l ledger) error { return l.Load(ctx, p.fence, b, false) })
	}
	for range 5 {
		p.afterwards()
	}
	p.change()
}

// unlikeAll makes this node another one than every marker was made on.
func (p *play) unlikeAll() {
	ctx := p.t.Context()
	for _, f := range append(p.old, p.fence) {
		for _, name := range append(p.ballots, "late") {
			marker := "{" + name + "}:" + f.NS + ":marker"
			n, err := p.s.rdb.Exists(ctx, marker).Result()
			if err == nil && n > 0 {
				err = p.s.rdb.HSet(ctx, marker, "replid", "0123456789012345678901234567890123456789").Err()
			}
			if err != nil {
				p.t.Fatal(err)
			}
		}
	}
}

// afterwards calls an epoch that is over.
func (p *play) afterwards() {
	p.admit()
	p.settle()
	p.refund()
	p.claim()
	p.mint(p.ballot())
	p.putRules()
}

// strange makes a ballot that is new in the epoch, or was there all along.
func (p *play) strange() {
	name := []string{p.ballots[0], "late"}[p.rng.IntN(2)]
	b := p.someRules(name)
	b.State = "open"
	f := p.fence
	var closed error // what the epoch's row says between the two halves
	if p.rng.IntN(4) == 0 {
		closed = redisledger.ErrWrongEpoch
	}
	each(p, "new "+name, func(l ledger) error {
		return l.LoadNew(p.t.Context(), f, b, func(context.Context) error { return closed })
	})
	batch := p.someBatch()
	batch.Ballot = name
	each(p, "admit to "+name, func(l ledger) any {
		a, _ := l.Admit(p.t.Context(), f, batch, 5, nil)
		return []any{a.Verdict, a.Err}
	})
}
