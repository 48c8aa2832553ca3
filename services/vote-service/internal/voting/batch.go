package voting

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/faultpoint"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// batch is the votes that share an admission, a record and a settlement.
type batch struct {
	id        uuid.UUID
	ballot    *ballot
	ledger    epoch.Ledger
	lane      uint32
	jobs      []*job             // in the order of event.Votes: groups first, then entries; nil when taken over
	event     *eventv1.VoteBatch // all votes, accepted or not
	groups    []uint32           // sizes of the groups
	request   redisledger.Batch
	verdict   redisledger.Verdict
	accepted  []int // indexes of the accepted votes
	record    *eventv1.VoteBatch
	counts    []int64 // what each of event.Candidates gets
	named     []bool  // … if an accepted vote names it
	maybeSent bool    // a produce call was made and got no clear answer: true for life
	ended     chan struct{}

	// What is seen of it in a trace.
	ctx     context.Context // of all that is done for the batch; the engine's, with the span if there is one
	span    trace.Span      // nil unless a vote in it is traced
	way     string          // in which it became durable
	counted int             // votes that were accepted
	again   int             // how often something was tried again
}

// newBatch lays out jobs of one ballot: votes without any state of their own are grouped by ticket, so that admission
// costs what the distinct tickets cost; the others stand one by one behind them.
func newBatch(b *ballot, ledger epoch.Ledger, lane uint32, jobs []*job) (*batch, error) {
	id, err := newBatchID()
	if err != nil {
		return nil, err
	}
	n := &batch{id: id, ballot: b, ledger: ledger, lane: lane, ended: make(chan struct{})}
	n.request = redisledger.Batch{ID: id, Ballot: b.name, MaxNames: b.now.Load().maxNames()}
	n.lay(jobs)
	payload, err := proto.Marshal(&eventv1.OutboxBatch{Batch: n.event, GroupSizes: n.groups})
	if err != nil {
		return nil, fmt.Errorf("outbox payload: %w", err)
	}
	n.request.Payload = payload
	return n, nil
}

// newBatchID returns a UUIDv7 by this process's clock. Partitions of applied_batches go by the time in it.
func newBatchID() (uuid.UUID, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.Nil, fmt.Errorf("batch id: %w", err)
	}
	if faultpoint.Enabled {
		ms := uint64(faultpoint.Now().UnixMilli())
		binary.BigEndian.PutUint64(id[:8], ms<<16|uint64(binary.BigEndian.Uint16(id[6:8])))
	}
	return id, nil
}

// lay orders the jobs and writes their votes down.
func (n *batch) lay(jobs []*job) {
	ticketless := jobs[0].retraction() || jobs[0].rules.Ticketless
	ticketIndex := map[string]int{}
	var grouped [][]*job
	var single []*job
	for _, j := range jobs {
		i, ok := ticketIndex[j.ticket]
		if !ok && !ticketless {
			i = len(n.request.Tickets)
			ticketIndex[j.ticket] = i
			n.request.Tickets = append(n.request.Tickets, j.ticket)
			grouped = append(grouped, nil)
		}
		fresh := n.freshNames(j)
		if !j.keyed && len(fresh) == 0 && j.voter == "" && !ticketless {
			grouped[i] = append(grouped[i], j)
			continue
		}
		single = append(single, j)
		n.request.Entries = append(n.request.Entries, n.entry(j, i, fresh))
	}
	n.jobs = make([]*job, 0, len(jobs))
	for i, group := range grouped {
		if len(group) == 0 {
			continue
		}
		n.request.Groups = append(n.request.Groups, redisledger.Group{Ticket: i, Votes: len(group)})
		n.groups = append(n.groups, uint32(len(group)))
		n.jobs = append(n.jobs, group...)
	}
	n.jobs = append(n.jobs, single...)
	n.write()
}

// entry is what admission needs to know of a vote that is looked at by itself.
func (n *batch) entry(j *job, ticket int, fresh []string) redisledger.Entry {
	e := redisledger.Entry{Ticket: ticket, LookedUp: j.freeIn == n.ledger && time.Since(j.freeAt) < lookUpHolds, NewNames: fresh}
	if j.keyed {
		e.Key, e.BodyHash = j.id[:], j.bodyHash[:]
	}
	if j.voter == "" {
		return e
	}
	e.Voter, e.Candidate, e.VoteID = j.voter, j.candidate(), j.id
	e.Retracts, e.Replaces, e.Period = j.retracts, j.replaces, j.period
	if j.votesIn == n.ledger && time.Since(j.votesAt) < redisledger.LookUpHolds {
		e.VoterState, e.StatePeriod = j.votes, j.votesPeriod
	}
	return e
}

// freshNames returns the names of a vote that an open list may not have yet.
func (n *batch) freshNames(j *job) []string {
	if n.request.MaxNames == 0 {
		return nil
	}
	var fresh []string
	for _, c := range j.choices {
		if _, ok := n.ballot.known.Load(c.GetCandidate()); !ok {
			fresh = append(fresh, c.GetCandidate())
		}
	}
	return fresh
}

func (n *batch) write() {
	n.event = &eventv1.VoteBatch{
		BatchId: n.id[:],
		Epoch:   n.ledger.Epoch,
		Ballot:  n.ballot.name,
		Votes:   make([]*eventv1.VoteEvent, len(n.jobs)),
	}
	index := map[string]uint32{}
	for i, j := range n.jobs {
		choices := j.deltas()
		e := &eventv1.VoteEvent{
			VoteId:     j.id[:],
			Voter:      j.label,
			VoterId:    j.voter,
			Candidates: make([]uint32, len(choices)),
			Deltas:     make([]int64, len(choices)),
		}
		if j.keyed {
			e.BodyHash = j.bodyHash[:]
		}
		for k, c := range choices {
			at, ok := index[c.GetCandidate()]
			if !ok {
				at = uint32(len(n.event.Candidates))
				index[c.GetCandidate()] = at
				n.event.Candidates = append(n.event.Candidates, c.GetCandidate())
			}
			e.Candidates[k], e.Deltas[k] = at, c.GetCount()
		}
		if j.retracts != uuid.Nil {
			e.Retracts = j.retracts[:]
		}
		n.event.Votes[i] = e
	}
}

// takenOver rebuilds another instance's batch from its outbox entry.
func takenOver(id uuid.UUID, b *ballot, ledger epoch.Ledger, c *redisledger.Claimed) (*batch, error) {
	var o eventv1.OutboxBatch
	if err := proto.Unmarshal(c.Payload, &o); err != nil {
		return nil, fmt.Errorf("outbox entry %s: %w", id, err)
	}
	// Whether the owner had sent it nobody knows.
	n := &batch{id: id, ballot: b, ledger: ledger, event: o.GetBatch(), groups: o.GetGroupSizes(), maybeSent: true}
	return n, n.decide(c.Verdict)
}

// decide takes the verdict in: which votes are accepted, the record, the counts.
func (n *batch) decide(v redisledger.Verdict) error {
	n.verdict = v
	if len(v.Groups) != len(n.groups) {
		return fmt.Errorf("batch %s: %d groups, %d verdicts", n.id, len(n.groups), len(v.Groups))
	}
	at := 0
	for i, g := range v.Groups {
		for k := range g.Accepted {
			n.accepted = append(n.accepted, at+k)
		}
		at += int(n.groups[i])
	}
	if at+len(v.Entries) != len(n.event.GetVotes()) {
		return fmt.Errorf("batch %s: %d votes, %d verdicts", n.id, len(n.event.GetVotes()), at+len(v.Entries))
	}
	for i, e := range v.Entries {
		if e.Code == redisledger.OK {
			n.accepted = append(n.accepted, at+i)
		}
	}
	n.counted = len(n.accepted)
	if n.counted > 0 {
		n.count()
	}
	return nil
}

// count makes the record of the accepted votes, and what they add to the tally.
func (n *batch) count() {
	n.record = &eventv1.VoteBatch{
		BatchId:              n.event.GetBatchId(),
		Epoch:                n.event.GetEpoch(),
		Ballot:               n.event.GetBallot(),
		AdmittedAtMs:         n.verdict.At.UnixMilli(),
		TicketVersion:        n.verdict.TicketVersion, // none in a batch that took no use
		FirstAdmissionNumber: n.verdict.First,
		Candidates:           n.event.GetCandidates(),
		Votes:                make([]*eventv1.VoteEvent, len(n.accepted)),
	}
	n.counts = make([]int64, len(n.event.GetCandidates()))
	n.named = make([]bool, len(n.event.GetCandidates()))
	for k, i := range n.accepted {
		e := n.event.GetVotes()[i]
		n.record.Votes[k] = e
		for c, at := range e.GetCandidates() {
			n.counts[at] += e.GetDeltas()[c]
			n.named[at] = true
		}
	}
	n.record.Format = events.FormatFor(n.record)
}

// keys returns the idempotency keys of the accepted votes, each with its body hash behind it.
func (n *batch) keys() [][]byte {
	var keys [][]byte
	for _, v := range n.record.GetVotes() {
		if len(v.GetBodyHash()) > 0 {
			keys = append(keys, v.GetVoteId(), v.GetBodyHash())
		}
	}
	return keys
}

// settlement asks for the settlement of the accepted votes. Candidates that only refused votes named are left out.
func (n *batch) settlement() *redisledger.Settlement {
	s := &redisledger.Settlement{Fence: n.ledger.Fence(), ID: n.id, Ballot: n.event.GetBallot(), AdmittedAt: n.verdict.At}
	for i, count := range n.counts {
		if n.named[i] {
			s.Names = append(s.Names, n.event.GetCandidates()[i])
			s.Counts = append(s.Counts, count)
		}
	}
	return s
}

// succeed answers the accepted votes, each with the running totals after it. totals are those after the whole batch,
// in the order of the settlement, or nil where nobody knows them; exact says that they were read in the very act of
// settling it.
func (n *batch) succeed(totals []int64, exact bool) {
	if len(totals) == 0 {
		for k, i := range n.accepted {
			n.jobs[i].succeed(n.token(k), nil, n.verdict.First+int64(k), n.verdict.At)
		}
		return
	}
	running := make([]int64, len(n.counts))
	next := 0
	for i, count := range n.counts {
		if !n.named[i] || next >= len(totals) {
			continue
		}
		running[i] = totals[next]
		n.ballot.full.note(n.event.GetCandidates()[i], totals[next])
		if exact {
			running[i] -= count
		}
		next++
	}
	for k, i := range n.accepted {
		e, j := n.event.GetVotes()[i], n.jobs[i]
		out := make([]*votev1.Total, len(e.GetCandidates()))
		for c, at := range e.GetCandidates() {
			if exact {
				running[at] += e.GetDeltas()[c]
			}
			out[c] = &votev1.Total{Candidate: n.event.GetCandidates()[at], Votes: running[at]}
		}
		j.succeed(n.token(k), out[len(j.taken):], n.verdict.First+int64(k), n.verdict.At)
	}
}

// refuse answers the accepted votes with r.
func (n *batch) refuse(r refusal) {
	n.came(r)
	for _, i := range n.accepted {
		n.jobs[i].refuse(r, n.verdict.At)
	}
}

// refuseAll answers every vote of a batch that was never decided.
func (n *batch) refuseAll(r refusal, at time.Time) {
	n.came(r)
	for _, j := range n.jobs {
		j.refuse(r, at)
	}
}

// token names the place of the kth accepted vote, for reads that must not be older.
func (n *batch) token(k int) string {
	return token(n.ledger.Epoch, n.verdict.First+int64(k), n.id)
}

func token(epoch, admission int64, batch uuid.UUID) string {
	return pgledger.Token{Epoch: epoch, Admission: admission, Batch: batch}.String()
}
