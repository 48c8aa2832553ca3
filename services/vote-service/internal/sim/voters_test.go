package sim

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/epoch"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// request is a vote or a retraction that somebody wants, with what was said about it.
type request struct {
	n        int
	id       uuid.UUID // also the key
	keyed    bool
	voter    string
	choices  map[string]int64 // what it adds in all: negative in a retraction
	gives    map[string]int64 // nothing in a retraction
	retracts *request

	mu      sync.Mutex
	sent    bool
	counted bool // somebody said so
	unknown bool // at least one attempt may have had an effect
	refused int  // answers that nothing happened
}

// ack is a vote of which a client was told that it counts.
type ack struct{ *request }

// voters send their requests, each call at its own time, and end when all have got their last answer.
func (w *world) voters() *sync.WaitGroup {
	r := rand.New(rand.NewPCG(w.seed, 2))
	var all sync.WaitGroup
	for n := 0; n < w.plan.requests; {
		at := rand3(r, busy)
		var call []*request
		for range 1 + r.IntN(4) {
			v := w.vote(r, n, at)
			call = append(call, v)
			if v.keyed && r.IntN(12) == 0 {
				w.twin(r, v, at, &all)
			}
			n++
		}
		all.Go(func() {
			if sleep(w.stop, at) {
				w.send(call)
			}
		})
	}
	return &all
}

// newID is a UUIDv7 of a time, or one that tells no time.
func newID(r *rand.Rand, at time.Time) uuid.UUID {
	var id uuid.UUID
	for i := range id {
		id[i] = byte(r.Uint32())
	}
	version := byte(4)
	if r.IntN(4) != 0 {
		version = 7
		for i := range 6 {
			id[i] = byte(at.UnixMilli() >> (8 * (5 - i)))
		}
	}
	id[6], id[8] = id[6]&0x0f|version<<4, id[8]&0x3f|0x80
	return id
}

func (w *world) vote(r *rand.Rand, n int, at time.Duration) *request {
	v := &request{n: n, id: newID(r, w.begin.Add(at)), keyed: r.IntN(4) != 0}
	v.choices = w.choices(r)
	v.gives = v.choices
	if w.plan.limit > 0 || r.IntN(4) == 0 {
		v.voter = fmt.Sprintf("voter %d", r.IntN(6))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.votes = append(w.votes, v)
	return v
}

// choices are what somebody wants to vote for.
func (w *world) choices(r *rand.Rand) map[string]int64 {
	names, choices := "ABC", map[string]int64{}
	if w.plan.open {
		names = "ABCDEFGH"
	}
	for range 1 + r.IntN(2) {
		choices[names[r.IntN(len(names)):][:1]] += 1 + r.Int64N(2)
	}
	if w.plan.each {
		return map[string]int64{slices.Min(slices.Collect(maps.Keys(choices))): 1}
	}
	return choices
}

// twin is another vote under the same key: at most one of them counts.
func (w *world) twin(r *rand.Rand, v *request, at time.Duration, all *sync.WaitGroup) {
	other := &request{n: v.n + 1000, id: v.id, keyed: true, voter: v.voter, choices: map[string]int64{"A": 7}}
	if w.plan.each {
		other.choices = map[string]int64{"A": 1}
		if v.choices["A"] > 0 {
			other.choices = map[string]int64{"B": 1}
		}
	}
	other.gives = other.choices
	w.mu.Lock()
	w.votes = append(w.votes, other)
	w.mu.Unlock()
	later := at + rand3(r, time.Second)
	all.Go(func() {
		if sleep(w.stop, later) {
			w.send([]*request{other})
		}
	})
}

// send tries each request until there is nothing more to be tried.
func (w *world) send(call []*request) {
	d := w.dice(fmt.Sprint("voter ", call[0].n))
	open := call
	for try := 0; len(open) > 0 && try < 6; try++ {
		w.attempt(d, open)
		var again []*request
		for _, v := range open {
			if v.mayRetry() {
				again = append(again, v)
			}
		}
		open = again
		if !sleep(w.stop, 100*time.Millisecond+rand3(d, 1500*time.Millisecond)) {
			return
		}
	}
	for _, v := range call {
		if v.counted && v.voter != "" && v.retracts == nil && d.IntN(3) == 0 {
			if w.plan.changes {
				w.change(d, v)
			} else {
				w.takeBack(d, v)
			}
		}
	}
}

// mayRetry says whether the same once more can do no harm and some good.
func (v *request) mayRetry() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return !v.counted && (v.keyed || !v.unknown)
}

// instance picks one that lives; nil if none does.
func (w *world) instance(d *rand.Rand) *instance {
	w.mu.Lock()
	defer w.mu.Unlock()
	var live []*instance
	for _, i := range w.instances {
		if !i.killed.Load() && !i.ended.Load() {
			live = append(live, i)
		}
	}
	if len(live) == 0 {
		return nil
	}
	return live[d.IntN(len(live))]
}

func (w *world) attempt(d *rand.Rand, call []*request) {
	i := w.instance(d)
	if i == nil {
		return
	}
	req := &votev1.CastVotesRequest{}
	for _, v := range call {
		v.begin()
		req.Votes = append(req.Votes, v.message())
	}
	ctx, cancel := context.WithTimeout(w.stop, 6*time.Second)
	defer cancel()
	w.note("%s gets %s", i.who, names(call))
	resp, err := i.engine.CastVotes(ctx, req)
	for n, v := range call {
		if err != nil || i.killed.Load() {
			v.answer(w, i, nil)
			continue
		}
		v.answer(w, i, resp.GetVerdicts()[n])
	}
	w.check(d)
}

// message is how a vote or change is sent.
func (v *request) message() *votev1.Vote {
	m := &votev1.Vote{Ballot: ballotName, Permit: &votev1.Vote_NewestTicket{NewestTicket: true}, Voter: v.voter}
	if v.keyed {
		m.IdempotencyKey = v.id.String()
	} else {
		m.VoteId = v.id.String()
	}
	if v.retracts != nil {
		m.Replaces = v.retracts.id.String()
	}
	for _, c := range slices.Sorted(maps.Keys(v.gives)) {
		m.Choices = append(m.Choices, &votev1.Choice{Candidate: c, Count: v.gives[c]})
	}
	return m
}

func names(call []*request) (s string) {
	for _, v := range call {
		s += v.String() + " "
	}
	return s
}

func (v *request) String() string { return fmt.Sprintf("%d(%s)", v.n, v.id.String()[28:]) }

func (v *request) begin() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sent = true
}

// answer takes down what was said; nil: nothing was.
func (v *request) answer(w *world, i *instance, said *votev1.Verdict) {
	w.note("%s answers %s: %s %s", i.who, v, said.GetOutcome(), said.GetDetail())
	v.mu.Lock()
	defer v.mu.Unlock()
	switch said.GetOutcome() {
	case statusv1.Outcome_OUTCOME_COUNTED:
		v.counted = true
		w.mu.Lock()
		w.acks = append(w.acks, ack{v})
		w.mu.Unlock()
	case statusv1.Outcome_OUTCOME_NONE:
		v.refused++
	default:
		v.unknown = true
	}
}

// takeBack retracts a vote, and tries again while that is unknown or refused for a while.
func (w *world) takeBack(d *rand.Rand, v *request) {
	back := &request{n: v.n + 2000, id: newID(d, time.Now()), keyed: true, voter: v.voter, retracts: v, choices: map[string]int64{}}
	for c, n := range v.choices {
		back.choices[c] = -n
	}
	w.mu.Lock()
	w.votes = append(w.votes, back)
	w.mu.Unlock()
	for try := 0; try < 4 && back.mayRetry(); try++ {
		i := w.instance(d)
		if i == nil {
			return
		}
		back.begin()
		ctx, cancel := context.WithTimeout(w.stop, 6*time.Second)
		w.note("%s gets %s, which takes back %s", i.who, back, v)
		req := &votev1.RetractVoteRequest{Ballot: ballotName, Voter: v.voter, IdempotencyKey: back.id.String()}
		if w.plan.each && w.plan.limit == 1 { // then it is the last one
			req.Candidate = slices.Collect(maps.Keys(v.choices))[0]
		} else {
			req.VoteId = v.id.String()
		}
		resp, err := i.engine.RetractVote(ctx, req)
		cancel()
		if err != nil || i.killed.Load() {
			back.answer(w, i, nil)
		} else {
			back.answer(w, i, resp.GetVerdict())
		}
		w.check(d)
		sleep(w.stop, 100*time.Millisecond+rand3(d, time.Second))
	}
}

// change votes for something else instead of a vote that counts, until that is answered.
func (w *world) change(d *rand.Rand, v *request) {
	other := &request{n: v.n + 3000, id: newID(d, time.Now()), keyed: true, voter: v.voter, retracts: v, gives: w.choices(d)}
	other.choices = maps.Clone(other.gives)
	for c, n := range v.choices {
		other.choices[c] -= n
	}
	w.mu.Lock()
	w.votes = append(w.votes, other)
	w.mu.Unlock()
	for try := 0; try < 4 && other.mayRetry(); try++ {
		w.attempt(d, []*request{other})
		sleep(w.stop, 100*time.Millisecond+rand3(d, time.Second))
	}
}

// check reads the counts through some instance: what was acknowledged before is in them, and nothing that nobody asked for.
func (w *world) check(d *rand.Rand) {
	i := w.instance(d)
	if i == nil {
		return
	}
	l, ok := i.me.Current()
	if !ok {
		return
	}
	before := w.bounds()
	counts := map[string]int64{}
	if l.Mode == epoch.Redis {
		list, _, err := i.Tally(w.stop, l.Fence(), ballotName, nil)
		if err != nil || !i.me.Live(l) {
			return
		}
		for _, c := range list {
			counts[c.Name] = c.Votes
		}
	} else {
		_, err := read(w.stop, &db{i.link}, "counts", func(p *postgres) (none, error) {
			if p.epoch.Number != l.Epoch {
				return none{}, errRefused
			}
			for _, row := range p.counts(ballotName, nil) {
				counts[row.Username] = row.Votes
			}
			return none{}, nil
		})
		if err != nil {
			return
		}
	}
	after := w.bounds()
	for c := range after.sent {
		low, high := before.counted[c]+after.takingBack[c], after.sent[c]+before.takenBack[c]
		if counts[c] < low || counts[c] > high {
			w.fail("a read through %s in epoch %d (%s) shows %d for %s: at least %d are acknowledged, at most %d were sent",
				i.who, l.Epoch, l.Mode, counts[c], c, low, high)
		}
	}
}

// bounds are what is known of the counts at a moment.
type bounds struct {
	counted, sent         map[string]int64 // votes
	takenBack, takingBack map[string]int64 // retractions: those that count, those that may
}

func (w *world) bounds() bounds {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := bounds{map[string]int64{}, map[string]int64{}, map[string]int64{}, map[string]int64{}}
	for _, v := range w.votes {
		v.mu.Lock()
		for c, n := range v.gives {
			if v.sent {
				b.sent[c] += n
			}
			if v.counted {
				b.counted[c] += n
			}
		}
		if v.retracts != nil {
			for c, n := range v.retracts.choices {
				if v.sent {
					b.takingBack[c] -= n
				}
				if v.counted {
					b.takenBack[c] -= n
				}
			}
		}
		v.mu.Unlock()
	}
	return b
}
