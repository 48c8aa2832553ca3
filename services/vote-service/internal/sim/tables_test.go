package sim

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/pgledger"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

// tables is what Postgres holds, and what a transaction of pgledger does to it. It knows no locks: each call is a
// transaction that is alone.
type tables struct {
	epoch    pgledger.Epoch
	begun    bool
	openedAt time.Time
	stay     time.Duration

	ballots   map[string]pgledger.Ballot
	applied   map[uuid.UUID]int64
	logs      []logRow
	tallies   map[name]*pgledger.Tally
	keys      map[name]pgledger.Key // ballot and key
	voters    map[voterVote]bool    // whether the vote is retracted
	used      map[name]int64        // of tickets
	tickets   map[name]*ticketRow   // minted in Postgres
	pgBallots map[epochBallot]*pgBallot
	named     map[epochBallot]bool
	offsets   map[int32]*offset
	dropped   map[uuid.UUID]bool

	wrong wrong
}

// wrong are transactions that leave a rule out.
type wrong struct{ noBatchIDs, anyEpoch, noOffsetCheck, noCap, noVoterLimit bool }

type (
	name        struct{ ballot, name string }
	epochBallot struct {
		epoch  int64
		ballot string
	}
	voterVote struct {
		ballot, voter string
		vote          uuid.UUID
	}
	logRow struct {
		ballot, candidate, ticket, voter string
		delta, epoch, admission          int64
		vote, batch, retracts            uuid.UUID
	}
	ticketRow struct {
		value, version   string
		limit            int64
		created, expires time.Time
	}
	pgBallot struct{ admissions, last, fence int64 }
	offset   struct {
		next     int64
		caughtUp time.Time
	}
)

func newTables(ballots ...pgledger.Ballot) *tables {
	t := &tables{
		ballots: map[string]pgledger.Ballot{}, applied: map[uuid.UUID]int64{}, tallies: map[name]*pgledger.Tally{},
		keys: map[name]pgledger.Key{}, voters: map[voterVote]bool{}, used: map[name]int64{}, tickets: map[name]*ticketRow{},
		pgBallots: map[epochBallot]*pgBallot{}, named: map[epochBallot]bool{}, offsets: map[int32]*offset{},
		dropped: map[uuid.UUID]bool{}, stay: 10 * time.Second,
	}
	for _, b := range ballots {
		t.ballots[b.Name] = b
	}
	return t
}

// apply is pgledger.Apply.
func (t *tables) apply(b pgledger.Batch) (pgledger.Result, error) {
	result := pgledger.Result{}
	var fresh []pgledger.Event
	if len(b.Events) > 0 {
		if !t.begun {
			return result, pgledger.ErrNoEpoch
		}
		result.Epoch = t.epoch
		result.Verdicts = make([]pgledger.Verdict, len(b.Events))
		for i, e := range b.Events {
			v, err := t.judge(e)
			if err != nil {
				return pgledger.Result{}, err
			}
			result.Verdicts[i] = v
		}
		fresh = t.fresh(b.Events, result.Verdicts)
	}
	if err := t.keysFree(fresh); err != nil {
		return pgledger.Result{}, err
	}
	for _, m := range b.Offsets {
		if o := t.offsets[m.Partition]; o == nil || o.next != m.From && !t.wrong.noOffsetCheck {
			return pgledger.Result{}, pgledger.ErrZombie
		}
	}
	for i, e := range b.Events {
		if v := result.Verdicts[i]; (v == pgledger.EpochOver || v == pgledger.Certified) && e.Record != nil {
			t.dropped[e.ID()] = true
		}
	}
	for _, e := range fresh {
		t.applied[e.ID()] = t.epoch.Number
		result.Rows += t.write(e)
	}
	for _, m := range b.Offsets {
		o := t.offsets[m.Partition]
		o.next = m.To
		if m.CaughtUpAt.After(o.caughtUp) {
			o.caughtUp = m.CaughtUpAt
		}
	}
	return result, nil
}

func (t *tables) judge(e pgledger.Event) (pgledger.Verdict, error) {
	b, known := t.ballots[e.GetBallot()]
	switch {
	case e.GetEpoch() > t.epoch.Number:
		return 0, pgledger.ErrFutureEpoch
	case e.GetEpoch() < t.epoch.Number && !t.wrong.anyEpoch:
		return pgledger.EpochOver, nil
	case !known:
		return 0, pgledger.ErrUnknownBallot
	case b.State == "certified":
		return pgledger.Certified, nil
	}
	return pgledger.Applied, nil
}

// fresh makes the verdicts final and returns what takes effect.
func (t *tables) fresh(events []pgledger.Event, verdicts []pgledger.Verdict) []pgledger.Event {
	var fresh []pgledger.Event
	seen := map[uuid.UUID]bool{}
	for i, e := range events {
		_, before := t.applied[e.ID()]
		switch {
		case verdicts[i] != pgledger.Applied && before:
			verdicts[i] = pgledger.Duplicate
		case verdicts[i] != pgledger.Applied:
		case (before || seen[e.ID()]) && !t.wrong.noBatchIDs:
			verdicts[i] = pgledger.Duplicate
		default:
			seen[e.ID()] = true
			fresh = append(fresh, e)
		}
	}
	return fresh
}

func (t *tables) keysFree(fresh []pgledger.Event) error {
	mine := map[name]bool{}
	for _, e := range fresh {
		for _, v := range e.GetVotes() {
			if len(v.GetBodyHash()) == 0 {
				continue
			}
			k := name{e.GetBallot(), string(v.GetVoteId())}
			if _, taken := t.keys[k]; (taken || mine[k]) && !t.wrong.noBatchIDs {
				return pgledger.ErrKeyConflict
			}
			mine[k] = true
		}
	}
	return nil
}

// write gives a batch its effect and returns how many ledger rows that made.
func (t *tables) write(e pgledger.Event) int {
	rows := 0
	if e.GetTicketVersion() != "" {
		t.used[name{e.GetBallot(), e.GetTicketVersion()}] += int64(len(e.GetVotes()))
	}
	for i, v := range e.GetVotes() {
		id := uuid.UUID(v.GetVoteId())
		admission := e.GetFirstAdmissionNumber() + int64(i)
		sums := map[string]int64{}
		for j, c := range v.GetCandidates() {
			candidate := e.GetCandidates()[c]
			sums[candidate] += v.GetDeltas()[j]
			t.count(name{e.GetBallot(), candidate}, v.GetDeltas()[j], admission, time.UnixMilli(e.GetAdmittedAtMs()))
		}
		row := logRow{
			ballot: e.GetBallot(), ticket: e.GetTicketVersion(), voter: v.GetVoterId(), epoch: e.GetEpoch(), admission: admission,
			vote: id, batch: e.ID(),
		}
		if len(v.GetRetracts()) > 0 {
			row.retracts = uuid.UUID(v.GetRetracts())
		}
		for candidate, delta := range sums {
			row.candidate, row.delta = candidate, delta
			t.logs = append(t.logs, row)
			rows++
		}
		if len(v.GetBodyHash()) > 0 {
			t.keys[name{e.GetBallot(), string(id[:])}] = pgledger.Key{BodyHash: [16]byte(v.GetBodyHash()), BatchID: e.ID()}
		}
		t.note(e.GetBallot(), v)
	}
	return rows
}

func (t *tables) count(n name, delta, admission int64, at time.Time) {
	row := t.tallies[n]
	if row == nil {
		row = &pgledger.Tally{Username: n.name}
		t.tallies[n] = row
	}
	row.Votes += delta
	row.Version = max(row.Version, admission)
	if at.After(row.UpdatedAt) {
		row.UpdatedAt = at
	}
}

// note keeps whose vote it is; a row only ever becomes retracted.
func (t *tables) note(ballot string, v *eventv1.VoteEvent) {
	if v.GetVoterId() == "" {
		return
	}
	row := voterVote{ballot, v.GetVoterId(), uuid.UUID(v.GetVoteId())}
	if len(v.GetRetracts()) > 0 {
		row.vote = uuid.UUID(v.GetRetracts())
		t.voters[row] = true
	} else if !t.voters[row] {
		t.voters[row] = false
	}
}

// votesOf returns a voter's votes that count.
func (t *tables) votesOf(ballot, voter string) []uuid.UUID {
	var votes []uuid.UUID
	for row, retracted := range t.voters {
		if row.ballot == ballot && row.voter == voter && !retracted {
			votes = append(votes, row.vote)
		}
	}
	slices.SortFunc(votes, func(a, b uuid.UUID) int { return cmp.Compare(a.String(), b.String()) })
	return votes
}

func (t *tables) version(ballot string) (top int64) {
	for n, row := range t.tallies {
		if n.ballot == ballot {
			top = max(top, row.Version)
		}
	}
	return top
}

// cast is pgledger.Cast at a moment of the clock.
func (t *tables) cast(b pgledger.CastBatch, clock time.Time) (pgledger.CastResult, error) {
	if !t.begun || t.epoch.Number != b.Epoch || t.epoch.Mode != "pg" || t.epoch.State != "open" {
		return pgledger.CastResult{}, pgledger.ErrNotOpen
	}
	rules, known := t.ballots[b.Ballot]
	if !known {
		return pgledger.CastResult{}, pgledger.ErrUnknownBallot
	}
	now := clock.Truncate(time.Millisecond)
	if _, before := t.applied[b.ID]; before {
		return t.again(b, now), nil
	}
	c := casting{tables: t, CastBatch: b, rules: rules, ballot: t.pgBallot(b.Ballot), clock: clock, at: now}
	c.ticket = t.ticket(b.Ballot, now)
	r := pgledger.CastResult{At: now}
	if c.ticket != nil && b.Votes[0].Retracts == uuid.Nil {
		r.TicketVersion = c.ticket.version
	}
	for _, v := range b.Votes {
		r.Verdicts = append(r.Verdicts, c.vote(v))
	}
	if c.accepted > 0 {
		t.applied[b.ID] = b.Epoch
	}
	return r, nil
}

func (t *tables) pgBallot(ballot string) *pgBallot {
	k := epochBallot{t.epoch.Number, ballot}
	if t.pgBallots[k] == nil {
		t.pgBallots[k] = &pgBallot{admissions: t.version(ballot)}
	}
	return t.pgBallots[k]
}

// again answers for a batch that was decided before.
func (t *tables) again(b pgledger.CastBatch, now time.Time) pgledger.CastResult {
	r := pgledger.CastResult{At: now, Verdicts: make([]pgledger.CastVerdict, len(b.Votes))}
	for i, v := range b.Votes {
		r.Verdicts[i].Code = pgledger.CastForgotten
		for _, row := range t.logs {
			if row.vote == v.ID && row.batch == b.ID && row.ballot == b.Ballot {
				r.Verdicts[i] = pgledger.CastVerdict{Code: pgledger.CastOK, Admission: row.admission}
				r.TicketVersion = row.ticket
			}
		}
	}
	return r
}

// ticket is the newest one of the open epoch.
func (t *tables) ticket(ballot string, now time.Time) *ticketRow {
	var newest *ticketRow
	for n, row := range t.tickets {
		if n.ballot == ballot && t.ofThisEpoch(n.name) && !row.created.After(now) && (newest == nil || row.created.After(newest.created)) {
			newest = row
		}
	}
	return newest
}

func (t *tables) ofThisEpoch(version string) bool {
	return strings.HasPrefix(version, strconv.FormatInt(t.epoch.Number, 10)+".")
}

// mint is pgledger.MintTicket.
func (t *tables) mint(epoch int64, ballot string, m pgledger.Mint, now time.Time) (pgledger.Minted, error) {
	if !t.begun || t.epoch.Number != epoch || t.epoch.Mode != "pg" || t.epoch.State != "open" {
		return "", pgledger.ErrNotOpen
	}
	now = now.Truncate(time.Millisecond)
	held, newest, next := t.pgBallot(ballot), t.ticket(ballot, now), false
	for n, row := range t.tickets {
		next = next || n.ballot == ballot && t.ofThisEpoch(n.name) && row.created.After(now)
	}
	running := newest != nil && now.Before(newest.expires)
	switch {
	case m.Fence < held.fence:
		return pgledger.MintFenced, nil
	case running && next:
		return pgledger.MintAlready, nil
	case m.Number != held.last+1:
		return pgledger.MintStale, nil
	}
	row := &ticketRow{value: m.Value, version: m.Version, limit: m.Cap, created: now}
	if running {
		row.created = newest.expires
	}
	row.expires = row.created.Add(m.Interval)
	t.tickets[name{ballot, m.Version}] = row
	held.last, held.fence = m.Number, max(held.fence, m.Fence)
	return pgledger.MintDone, nil
}

// casting is one call of cast at work.
type casting struct {
	*tables
	pgledger.CastBatch

	rules     pgledger.Ballot
	ballot    *pgBallot
	ticket    *ticketRow
	clock, at time.Time
	accepted  int
}

// vote decides one vote, and gives it its effect.
func (c *casting) vote(v pgledger.CastVote) pgledger.CastVerdict {
	if key, found := c.keys[name{c.Ballot, string(v.ID[:])}]; v.Keyed && found {
		if key.BodyHash != v.BodyHash {
			return pgledger.CastVerdict{Code: pgledger.CastReused}
		}
		return pgledger.CastVerdict{Code: pgledger.CastSame, Batch: key.BatchID}
	}
	if code := c.judge(v); code != pgledger.CastOK {
		return pgledger.CastVerdict{Code: code}
	}
	c.accepted++
	c.ballot.admissions++
	e := &eventv1.VoteBatch{
		BatchId: c.ID[:], Epoch: c.Epoch, Ballot: c.Ballot, AdmittedAtMs: c.at.UnixMilli(),
		FirstAdmissionNumber: c.ballot.admissions, Candidates: v.Candidates,
	}
	event := &eventv1.VoteEvent{VoteId: v.ID[:], Voter: v.Label, VoterId: v.Voter, Deltas: v.Counts}
	for i := range v.Candidates {
		event.Candidates = append(event.Candidates, uint32(i))
	}
	if v.Keyed {
		event.BodyHash = v.BodyHash[:]
	}
	if v.Retracts != uuid.Nil {
		event.Retracts = v.Retracts[:]
	} else {
		e.TicketVersion = c.ticket.version
	}
	e.Votes = []*eventv1.VoteEvent{event}
	c.write(pgledger.Event{VoteBatch: e})
	verdict := pgledger.CastVerdict{Code: pgledger.CastOK, Admission: c.ballot.admissions, Totals: make([]int64, len(v.Candidates))}
	for i, candidate := range v.Candidates {
		verdict.Totals[i] = c.tallies[name{c.Ballot, candidate}].Votes
	}
	return verdict
}

func (c *casting) judge(v pgledger.CastVote) pgledger.CastCode {
	r := c.rules
	made := time.UnixMilli(int64(binary.BigEndian.Uint64(v.ID[:8]) >> 16))
	switch {
	case v.Keyed && v.ID.Version() == 7 && made.Sub(c.clock) >= 30*time.Second:
		return pgledger.CastAhead
	case r.State != "open" || r.OpensAt != nil && c.at.Before(*r.OpensAt) || r.ClosesAt != nil && !c.clock.Before(*r.ClosesAt):
		return pgledger.CastClosed
	case v.Retracts != uuid.Nil:
		if retracted, found := c.voters[voterVote{c.Ballot, v.Voter, v.Retracts}]; !found || retracted {
			return pgledger.CastNoVote
		}
		return pgledger.CastOK
	case c.ticket == nil:
		return pgledger.CastExpired
	case v.Ticket != "" && v.Ticket != c.ticket.value:
		return pgledger.CastSuperseded
	case !c.clock.Before(c.ticket.expires):
		return pgledger.CastExpired
	case c.ticket.limit != pgledger.NoCap && c.used[name{c.Ballot, c.ticket.version}] >= c.ticket.limit && !c.wrong.noCap:
		return pgledger.CastExhausted
	case c.MaxNames > 0 && c.namesAfter(v) > c.MaxNames:
		return pgledger.CastNames
	case r.VotesPerVoter > 0 && (v.Voter == "" || len(c.votesOf(c.Ballot, v.Voter)) >= r.VotesPerVoter) && !c.wrong.noVoterLimit:
		return pgledger.CastLimit
	}
	return pgledger.CastOK
}

// namesAfter is how many names the list would have; one that it can't grow by is no reason to refuse.
func (c *casting) namesAfter(v pgledger.CastVote) int64 {
	fresh, has := map[string]bool{}, int64(0)
	for n := range c.tallies {
		if n.ballot == c.Ballot {
			has++
		}
	}
	for _, candidate := range v.Candidates {
		if c.tallies[name{c.Ballot, candidate}] == nil {
			fresh[candidate] = true
		}
	}
	if len(fresh) == 0 {
		return 0
	}
	return has + int64(len(fresh))
}
