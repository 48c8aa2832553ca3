package sim

import (
	"cmp"
	"slices"
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
	voters    map[voterVote]voterRow
	used      map[name]int64      // of tickets
	tickets   map[name]*ticketRow // minted in Postgres
	pgBallots map[epochBallot]*pgBallot
	named     map[epochBallot]bool
	offsets   map[int32]*offset
	dropped   map[uuid.UUID]bool
	movedBack bool // an offset: whoever moved it did not own its partition

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
	voterRow struct {
		retracted bool
		candidate string    // the one that the vote is for, if it is for one
		at        time.Time // zero until the vote itself has come
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
		keys: map[name]pgledger.Key{}, voters: map[voterVote]voterRow{}, used: map[name]int64{}, tickets: map[name]*ticketRow{},
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
		t.movedBack = t.movedBack || m.To < o.next
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
		type choice struct {
			candidate string
			back      bool // it is taken back
		}
		sums := map[choice]int64{}
		for j, c := range v.GetCandidates() {
			candidate, delta := e.GetCandidates()[c], v.GetDeltas()[j]
			sums[choice{candidate, len(v.GetRetracts()) > 0 && delta < 0}] += delta
			t.count(name{e.GetBallot(), candidate}, delta, admission, time.UnixMilli(e.GetAdmittedAtMs()))
		}
		row := logRow{
			ballot: e.GetBallot(), ticket: e.GetTicketVersion(), voter: v.GetVoterId(), epoch: e.GetEpoch(), admission: admission,
			vote: id, batch: e.ID(),
		}
		for of, delta := range sums {
			row.candidate, row.delta, row.retracts = of.candidate, delta, uuid.Nil
			if of.back {
				row.retracts = uuid.UUID(v.GetRetracts())
			}
			t.logs = append(t.logs, row)
			rows++
		}
		if len(v.GetBodyHash()) > 0 {
			t.keys[name{e.GetBallot(), string(id[:])}] = pgledger.Key{BodyHash: [16]byte(v.GetBodyHash()), BatchID: e.ID()}
		}
		t.note(e, v)
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
func (t *tables) note(e pgledger.Event, v *eventv1.VoteEvent) {
	if v.GetVoterId() == "" {
		return
	}
	if len(v.GetRetracts()) > 0 {
		at := voterVote{e.GetBallot(), v.GetVoterId(), uuid.UUID(v.GetRetracts())}
		row := t.voters[at]
		row.retracted = true
		t.voters[at] = row
	}
	var given []string
	for i, c := range v.GetCandidates() {
		if len(v.GetRetracts()) == 0 || v.GetDeltas()[i] > 0 {
			given = append(given, e.GetCandidates()[c])
		}
	}
	if len(given) == 0 {
		return
	}
	at := voterVote{e.GetBallot(), v.GetVoterId(), uuid.UUID(v.GetVoteId())}
	row := t.voters[at]
	row.at = time.UnixMilli(e.GetAdmittedAtMs())
	if given = slices.Compact(given); len(given) == 1 {
		row.candidate = given[0]
	}
	t.voters[at] = row
}

// votesOf returns a voter's votes that count under a key, the oldest first.
func (t *tables) votesOf(ballot string, key pgledger.VoterKey) []uuid.UUID {
	b := t.ballots[ballot]
	var found []pgledger.VoterVote
	for at, row := range t.voters {
		if at.ballot != ballot || at.voter != key.Voter || row.retracted || b.PerCandidate && row.candidate != key.Candidate ||
			b.VoterPeriod > 0 && b.Period(row.at) != key.Period {
			continue
		}
		found = append(found, pgledger.VoterVote{ID: at.vote, VotedAt: row.at})
	}
	slices.SortFunc(found, byAge)
	var votes []uuid.UUID
	for _, v := range found {
		votes = append(votes, v.ID)
	}
	return votes
}

func byAge(a, b pgledger.VoterVote) int {
	return cmp.Or(a.VotedAt.Compare(b.VotedAt), cmp.Compare(a.ID.String(), b.ID.String()))
}

func (t *tables) version(ballot string) (top int64) {
	for n, row := range t.tallies {
		if n.ballot == ballot {
			top = max(top, row.Version)
		}
	}
	return top
}
