package redisledger

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// NoCap is the cap of a ticket that any number of votes may use.
const NoCap = -1

// Ticket is the newest ticket of a ballot, as Redis holds it.
type Ticket struct {
	Value     string
	Version   string
	Cap       int64 // or NoCap
	Left      int64 // uses left, or NoCap
	CreatedAt time.Time
	ExpiresAt time.Time
}

// TicketState is what a minter and a reader need to know.
type TicketState struct {
	Now        time.Time // Redis TIME
	LastNumber int64     // of the last ticket minted in this epoch, 0 if none
	Successor  string    // version of the ticket that is stored for the next window; empty if there is none
	Newest     *Ticket   // nil if there never was one; may be expired
}

// Usable says whether the newest ticket admits votes now.
func (s TicketState) Usable() bool { return s.Newest != nil && s.Now.Before(s.Newest.ExpiresAt) }

// Ticket reads the newest ticket.
func (l *Ledger) Ticket(ctx context.Context, f Fence, ballot string) (TicketState, error) {
	k := f.Keys(ballot)
	r := l.one(ctx, call{ticketScript, []string{k.marker(), k.ticket(), k.newest()}, []any{f.Epoch}})
	if r.err != nil {
		return TicketState{}, r.err
	}
	last, err := parseInt(r.rest[1])
	if err != nil {
		return TicketState{}, err
	}
	state := TicketState{
		Now:        time.UnixMilli(r.rest[0].(int64)),
		LastNumber: last,
		Successor:  r.rest[2].(string),
	}
	if len(r.rest) < 9 {
		return state, nil
	}
	var n [4]int64
	for i := range n {
		if n[i], err = parseInt(r.rest[5+i]); err != nil {
			return TicketState{}, err
		}
	}
	state.Newest = &Ticket{
		Value:     r.rest[3].(string),
		Version:   r.rest[4].(string),
		Cap:       n[0],
		Left:      n[1],
		CreatedAt: time.UnixMilli(n[2]),
		ExpiresAt: time.UnixMilli(n[3]),
	}
	return state, nil
}

// Mint is a proposal for the ticket that is missing.
type Mint struct {
	Number   int64 // one more than TicketState.LastNumber
	Version  string
	Value    string
	Cap      int64 // or NoCap
	Interval time.Duration
	Fence    int64 // of the lock that the minter holds; 0 without a lock
	Shown    bool  // the value of now is also shown in a key of its own, graphql_ticket, for as long as it is valid
}

// Minted says what became of a proposal.
type Minted string

// The ends of a proposal. Only Done made a ticket.
const (
	MintDone    Minted = "MINTED"
	MintAlready Minted = "ALREADY" // ticket and successor are there
	MintStale   Minted = "STALE"   // the number was taken: read the state again
	MintFenced  Minted = "FENCED"  // a later holder of the lock has minted
)

// Mint makes the missing ticket; on MintDone created and expires are its window.
func (l *Ledger) Mint(ctx context.Context, f Fence, ballot string, m Mint) (done Minted, created, expires time.Time, err error) {
	k := f.Keys(ballot)
	r := l.one(ctx, call{
		mintScript,
		[]string{k.marker(), k.ticket(), k.newest(), k.shown()},
		[]any{f.Epoch, m.Number, m.Version, m.Value, m.Cap, m.Interval.Milliseconds(), m.Fence, m.Shown},
	})
	if r.err != nil || r.word != string(MintDone) {
		return Minted(r.word), created, expires, r.err
	}
	from, err1 := parseInt(r.rest[1])
	to, err2 := parseInt(r.rest[2])
	if err1 != nil || err2 != nil {
		return "", created, expires, fmt.Errorf("redisledger: window %v to %v", r.rest[1], r.rest[2])
	}
	return MintDone, time.UnixMilli(from), time.UnixMilli(to), nil
}

func parseInt(v any) (int64, error) {
	s, ok := v.(string)
	if !ok {
		return 0, fmt.Errorf("redisledger: number is %T", v)
	}
	return strconv.ParseInt(s, 10, 64)
}
