package redisledger

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Batch is what admission needs to know of a batch; the votes themselves are only payload to it.
type Batch struct {
	ID       uuid.UUID // a UUIDv7
	Ballot   string
	Payload  []byte
	Tickets  []string // values; "" stands for the newest
	Groups   []Group  // votes without state of their own, so many per ticket
	Entries  []Entry  // votes that are looked at one by one
	MaxNames int64    // how many names an open list may grow to; 0 for a closed list
}

// Group is a number of votes that differ in nothing admission looks at.
type Group struct {
	Ticket int // index into Tickets
	Votes  int
}

// Entry is a vote with a key, with a voter, or with names that may be new; or a retraction, which takes no use of any
// ticket. A batch holds votes, or it holds retractions and no tickets. On a ballot without tickets it holds none either.
type Entry struct {
	Ticket    int    // index into Tickets, where there are any
	Key       []byte // 16 bytes, or empty
	BodyHash  []byte // 16 bytes, with a key
	LookedUp  bool   // Postgres does not know the key
	NewNames  []string
	Voter     string    // as authenticated, without a zero byte; empty if there is none
	Candidate string    // with a voter: the one that the vote, or what it retracts, is for; empty if it is not for one alone
	VoteID    uuid.UUID // with a voter: what its vote is remembered as
	Retracts  uuid.UUID // the vote of that voter which this takes back; Nil: this is a vote
	// Replaces says that this is a vote, which takes the place of the one that it retracts, in one act. That must be of the
	// same period and, where the limit is per candidate, for the same candidate.
	Replaces bool
	Period   int64 // of the vote that a retraction takes back (see PeriodOf); anything where the ballot has no periods
	// VoterState are the voter's votes that count as Postgres knows them, asked for no more than LookUpHolds ago: all of
	// them, or those of StatePeriod, or for Candidate, where the limit is so. nil: not looked up.
	VoterState  []uuid.UUID
	StatePeriod int64
}

// PeriodOf is the number of the window in which a vote that was admitted at a time counts against its voter's limit.
func PeriodOf(admitted time.Time, period time.Duration) int64 {
	if period <= 0 {
		return 0
	}
	return admitted.UnixMilli() / period.Milliseconds()
}

// LookUpHolds is for how long what Postgres said of a voter may be used: Redis keeps for longer what it has learnt since.
const LookUpHolds = time.Minute

// MaxVoterVotes bounds the votes of one voter in one ballot where the ballot has no limit of its own.
const MaxVoterVotes = 1000

// ClockBound is how far the time in a batch's id may be from Redis TIME. Partitions of applied_batches are dropped by
// that time, a day after the topic has forgotten their records.
const ClockBound = time.Hour

// Admitted is the reply to an admission.
type Admitted struct {
	Verdict Verdict
	Err     error
}

// Admit decides a batch, in the same round trip in which it settles an earlier one; either may be nil. An admission
// that failed without NoEffect may have happened: ask Known.
func (l *Ledger) Admit(ctx context.Context, f Fence, b *Batch, outboxBound int, settle *Settlement) (Admitted, SettleReply) {
	calls := make([]call, 0, 2)
	if settle != nil {
		calls = append(calls, settleCall(settle))
	}
	if b != nil {
		calls = append(calls, admitCall(f, b, outboxBound))
	}
	replies := l.run(ctx, calls...)
	var (
		admitted Admitted
		settled  SettleReply
	)
	if settle != nil {
		settled = settleReply(replies[0])
		replies = replies[1:]
	}
	if b != nil {
		admitted = admitReply(replies[0])
	}
	return admitted, settled
}

func admitCall(f Fence, b *Batch, outboxBound int) call {
	k := f.Keys(b.Ballot)
	args := make([]any, 0, 13+len(b.Tickets)+2*len(b.Groups)+5*len(b.Entries))
	args = append(args, f.Epoch, b.ID[:], b.Payload, outboxBound, b.MaxNames,
		YoungPast.Milliseconds(), YoungFuture.Milliseconds(), KeySlice.Milliseconds(), KeyTTL.Milliseconds(),
		len(b.Tickets), len(b.Groups), len(b.Entries))
	for _, t := range b.Tickets {
		args = append(args, t)
	}
	for _, g := range b.Groups {
		args = append(args, g.Ticket+1, g.Votes)
	}
	for i := range b.Entries {
		e := &b.Entries[i]
		args = append(args, e.Ticket+1, e.Key, e.BodyHash, e.flags(), len(e.NewNames))
		for _, n := range e.NewNames {
			args = append(args, n)
		}
		if e.Voter != "" {
			args = append(args, e.Voter, e.Candidate, e.VoteID[:], e.retracts(), e.Period, e.voterState(), e.StatePeriod)
		}
	}
	return call{
		script: admitScript,
		keys: []string{
			k.marker(), k.ticket(), k.newest(), k.outbox(), k.outboxTimes(), k.done(b.ID), k.names(), k.seen(),
			k.voters(),
		},
		args: args,
	}
}

// retraction says that the entry only takes a vote back.
func (e *Entry) retraction() bool { return e.Retracts != uuid.Nil && !e.Replaces }

func (e *Entry) flags() int {
	flags := 0
	if e.LookedUp {
		flags |= 1
	}
	if e.Voter != "" {
		flags |= 2
	}
	if e.Replaces {
		flags |= 4
	}
	return flags
}

func (e *Entry) retracts() []byte {
	if e.Retracts == uuid.Nil {
		return nil
	}
	return e.Retracts[:]
}

func (e *Entry) voterState() []byte {
	if e.VoterState == nil {
		return []byte("-")
	}
	ids := make([]byte, 0, 16*len(e.VoterState))
	for _, id := range e.VoterState {
		ids = append(ids, id[:]...)
	}
	return ids
}

func admitReply(r reply) Admitted {
	switch {
	case r.err != nil:
		return Admitted{Err: r.err}
	case r.word == "DONE":
		return Admitted{Err: fmt.Errorf("redisledger: batch is done already (%v)", r.rest[0])}
	}
	text, _, _ := strings.Cut(r.rest[0].(string), "\n")
	v, err := parseVerdict(text)
	return Admitted{Verdict: v, Err: err}
}

// Known finds out what an unanswered admission did. ok is false when that is still unknown.
func (l *Ledger) Known(ctx context.Context, f Fence, ballot string, id uuid.UUID) (v Verdict, ok bool) {
	k := f.Keys(ballot)
	r := l.one(ctx, call{knownScript, []string{k.marker(), k.outbox(), k.done(id)}, []any{f.Epoch, id[:]}})
	if r.err != nil || r.word != "KNOWN" {
		return Verdict{}, false
	}
	a := admitReply(r)
	return a.Verdict, a.Err == nil
}
