package redisledger

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Code is what a script decided about a vote.
type Code string

// The codes of a verdict. Same and Pending name the batch that the vote's key was admitted with.
const (
	OK         Code = "ok"
	Expired    Code = "expired"
	Superseded Code = "superseded"
	Exhausted  Code = "exhausted"
	Closed     Code = "closed"
	Overloaded Code = "overloaded"
	Names      Code = "names"   // the open list has no room for the vote's new names
	LookUp     Code = "lookup"  // the key must first be looked up in Postgres
	Reused     Code = "reused"  // the key came before, with another body
	Same       Code = "same"    // the key came before, and its batch is settled
	Pending    Code = "pending" // the key came before, and its batch is not yet settled
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

// Entry is a vote with a key, or with names that may be new.
type Entry struct {
	Ticket   int
	Key      []byte // 16 bytes, or empty
	BodyHash []byte // 16 bytes, with a key
	LookedUp bool   // Postgres does not know the key
	NewNames []string
}

// Verdict is what admission decided, in full: with the payload it is enough to finish the batch.
type Verdict struct {
	At            time.Time // Redis TIME
	First         int64     // admission number of the first accepted vote
	TicketVersion string    // of the newest ticket; empty if there is none
	Groups        []GroupVerdict
	Entries       []EntryVerdict
}

// GroupVerdict accepts the first votes of a group; Code says why not the rest.
type GroupVerdict struct {
	Accepted int
	Code     Code
}

// EntryVerdict decides one vote.
type EntryVerdict struct {
	Code  Code
	Batch uuid.UUID // with Same and Pending
}

// Accepted returns how many votes were accepted.
func (v *Verdict) Accepted() int {
	n := 0
	for _, g := range v.Groups {
		n += g.Accepted
	}
	for _, e := range v.Entries {
		if e.Code == OK {
			n++
		}
	}
	return n
}

// Admitted is the reply to an admission.
type Admitted struct {
	Verdict Verdict
	Err     error
}

// Settlement asks to settle a batch.
type Settlement struct {
	Fence      Fence // of the epoch it was admitted in
	ID         uuid.UUID
	Ballot     string
	AdmittedAt time.Time
	Names      []string // the candidates …
	Counts     []int64  // … and what they get
}

// How says what became of a batch.
type How string

// The ends of a batch.
const (
	Settled  How = "S"
	Refunded How = "R"
	Unknown  How = "" // Redis remembers neither
)

// Settlements's reply: Totals stand in the order of Names, read after the batch was in.
type SettleReply struct {
	How    How
	ByThis bool // this very call settled it, so Totals include exactly what was admitted before it
	Totals []int64
	Err    error
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
		YoungPast.Milliseconds(), YoungFuture.Milliseconds(), keySlice.Milliseconds(), keyTTL.Milliseconds(),
		len(b.Tickets), len(b.Groups), len(b.Entries))
	for _, t := range b.Tickets {
		args = append(args, t)
	}
	for _, g := range b.Groups {
		args = append(args, g.Ticket+1, g.Votes)
	}
	for _, e := range b.Entries {
		args = append(args, e.Ticket+1, e.Key, e.BodyHash, e.LookedUp, len(e.NewNames))
		for _, n := range e.NewNames {
			args = append(args, n)
		}
	}
	return call{
		script: admitScript,
		keys: []string{
			k.marker(), k.ticket(), k.newest(), k.outbox(), k.outboxTimes(), k.done(b.ID), k.names(), k.seen(),
		},
		args: args,
	}
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

// Settle settles one batch by itself.
func (l *Ledger) Settle(ctx context.Context, s *Settlement) SettleReply {
	return settleReply(l.one(ctx, settleCall(s)))
}

func settleCall(s *Settlement) call {
	k := s.Fence.Keys(s.Ballot)
	args := make([]any, 0, 6+2*len(s.Names))
	args = append(args, s.Fence.Epoch, s.ID[:], doneTTL.Milliseconds(), s.AdmittedAt.UnixMilli(), len(s.Names))
	for _, n := range s.Names {
		args = append(args, n)
	}
	for _, n := range s.Counts {
		args = append(args, n)
	}
	return call{
		script: settleScript,
		keys: []string{
			k.marker(), k.outbox(), k.outboxTimes(), k.claims(), k.done(s.ID), k.tally(), k.updated(),
		},
		args: args,
	}
}

func settleReply(r reply) SettleReply {
	if r.err != nil {
		return SettleReply{Err: r.err}
	}
	s := SettleReply{How: Settled, ByThis: true}
	if r.word == "DONE" {
		s = SettleReply{How: How(r.rest[0].(string))}
		r.rest = r.rest[1:]
	}
	s.Totals = make([]int64, len(r.rest))
	for i, v := range r.rest {
		if v == nil {
			continue
		}
		n, err := strconv.ParseInt(v.(string), 10, 64)
		if err != nil {
			return SettleReply{Err: fmt.Errorf("redisledger: total: %w", err)}
		}
		s.Totals[i] = n
	}
	return s
}

var errVerdict = errors.New("redisledger: a verdict does not parse")

// parseVerdict reads "now first version|accepted:code,…|code,…".
func parseVerdict(text string) (Verdict, error) {
	parts := strings.Split(text, "|")
	if len(parts) != 3 {
		return Verdict{}, errVerdict
	}
	head := strings.Fields(parts[0])
	if len(head) != 3 {
		return Verdict{}, errVerdict
	}
	now, err1 := strconv.ParseInt(head[0], 10, 64)
	first, err2 := strconv.ParseInt(head[1], 10, 64)
	if err1 != nil || err2 != nil {
		return Verdict{}, errVerdict
	}
	v := Verdict{At: time.UnixMilli(now), First: first}
	if head[2] != "-" {
		v.TicketVersion = head[2]
	}
	for g := range split(parts[1]) {
		n, code, ok := strings.Cut(g, ":")
		accepted, err := strconv.Atoi(n)
		if !ok || err != nil {
			return Verdict{}, errVerdict
		}
		v.Groups = append(v.Groups, GroupVerdict{Accepted: accepted, Code: Code(code)})
	}
	for e := range split(parts[2]) {
		code, batch, named := strings.Cut(e, ":")
		ev := EntryVerdict{Code: Code(code)}
		if named {
			id, err := uuid.Parse(batch)
			if err != nil {
				return Verdict{}, errVerdict
			}
			ev.Batch = id
		}
		v.Entries = append(v.Entries, ev)
	}
	return v, nil
}

// split yields the parts of a comma-separated list; none for the empty list.
func split(s string) func(func(string) bool) {
	return func(yield func(string) bool) {
		if s == "" {
			return
		}
		strings.SplitSeq(s, ",")(yield)
	}
}
