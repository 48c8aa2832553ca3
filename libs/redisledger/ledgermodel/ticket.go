package ledgermodel

import (
	"context"
	"time"

	"github.com/littlevote/littlevote/libs/redisledger"
)

type window struct {
	value, version   string
	limit            int64
	created, expires int64 // ms
}

// ticket is the newest ticket as it is written down, and its successor.
type ticket struct {
	window

	left int64
	next *window
}

// current returns the ticket that counts now, whether or not that is written down yet.
func (b *ballot) current(now int64) *ticket {
	t := b.ticket
	if t != nil && t.next != nil && t.next.created <= now {
		return &ticket{window: *t.next, left: t.next.limit}
	}
	return t
}

// promote writes down which ticket counts now.
func (b *ballot) promote(now int64) *ticket {
	b.ticket = b.current(now)
	return b.ticket
}

// Ticket reads the newest ticket.
func (l *Ledger) Ticket(_ context.Context, f redisledger.Fence, name string) (redisledger.TicketState, error) {
	b, err := l.fenced(f, name)
	if err != nil {
		return redisledger.TicketState{}, err
	}
	s := redisledger.TicketState{Now: time.UnixMilli(l.ms()), LastNumber: b.last}
	t := b.promote(l.ms())
	if t == nil {
		return s, nil
	}
	if t.next != nil {
		s.Successor = t.next.version
	}
	s.Newest = &redisledger.Ticket{
		Value: t.value, Version: t.version, Cap: t.limit, Left: t.left,
		CreatedAt: time.UnixMilli(t.created), ExpiresAt: time.UnixMilli(t.expires),
	}
	return s, nil
}

// Mint makes the missing ticket.
func (l *Ledger) Mint(
	_ context.Context, f redisledger.Fence, name string, m redisledger.Mint,
) (done redisledger.Minted, created, expires time.Time, err error) {
	b, err := l.fenced(f, name)
	if err != nil {
		return "", created, expires, err
	}
	now := l.ms()
	if b.fence != nil && m.Fence < *b.fence {
		return redisledger.MintFenced, created, expires, nil
	}
	t := b.current(now)
	if t != nil && t.next != nil && now < t.expires {
		return redisledger.MintAlready, created, expires, nil
	}
	if m.Number != b.last+1 {
		return redisledger.MintStale, created, expires, nil
	}
	b.ticket = t
	b.last, b.fence = m.Number, &m.Fence
	w := window{value: m.Value, version: m.Version, limit: m.Cap, created: now}
	if t != nil && now < t.expires {
		w.created = t.expires
		w.expires = w.created + m.Interval.Milliseconds()
		t.next = &w
	} else {
		w.expires = w.created + m.Interval.Milliseconds()
		b.ticket = &ticket{window: w, left: m.Cap}
	}
	return redisledger.MintDone, time.UnixMilli(w.created), time.UnixMilli(w.expires), nil
}
