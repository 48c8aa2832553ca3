package voter

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/littlevote/littlevote/tools/bench/internal/operation"
	"github.com/littlevote/littlevote/tools/bench/internal/wire"
)

const (
	soon = 2 * time.Millisecond  // after a look that was too early for the next ticket, and twice that after the next
	late = 50 * time.Millisecond // after a failed look, or many that were too early
)

// NoCap is what remainingUsages says where the ballot sets no cap.
const NoCap = 1<<31 - 1

// held is one ticket with its encoded requests.
type held struct {
	ticket   operation.Ticket
	expires  time.Time
	requests [][]byte
	replaced chan struct{} // closed when a newer one is there
}

// Permit keeps the newest ticket for all voters.
type Permit struct {
	target wire.Target
	names  int
	conn   *wire.Conn
	ask    []byte

	current atomic.Pointer[held]
	over    chan struct{} // a voter was refused with the newest ticket
	stop    context.CancelFunc
	done    sync.WaitGroup
}

// NewPermit fetches the first ticket and keeps it the newest until Close.
func NewPermit(ctx context.Context, target wire.Target, names int, timeout time.Duration) (*Permit, error) {
	p := &Permit{
		target: target,
		names:  names,
		conn:   wire.NewConn(target, timeout),
		ask:    operation.Requests(target, operation.GetTicket, names)[0],
		over:   make(chan struct{}, 1),
	}
	if err := p.first(ctx, timeout); err != nil {
		p.conn.Close()
		return nil, err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	p.stop = stop
	p.done.Go(func() { p.run(running) })
	return p, nil
}

// Close ends the fetching.
func (p *Permit) Close() {
	p.stop()
	p.done.Wait()
	p.conn.Close()
}

// Ticket is the newest.
func (p *Permit) Ticket() operation.Ticket { return p.current.Load().ticket }

// first tries for a while: a capped ticket may just be used up.
func (p *Permit) first(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		_, err := p.fetch(ctx)
		if err == nil {
			return nil
		}
		if wait(ctx, late, nil) != nil {
			return err
		}
	}
}

// run fetches whenever a ticket ends, by the clock or by a voter's word.
func (p *Permit) run(ctx context.Context) {
	pause := time.Until(p.current.Load().expires)
	early := soon
	for wait(ctx, pause, p.over) == nil {
		newer, err := p.fetch(ctx)
		switch {
		case err != nil:
			pause = late
		case newer:
			pause, early = time.Until(p.current.Load().expires), soon
		default:
			pause, early = early, min(2*early, late)
		}
	}
}

// report says that a ticket is over. Word about one that has been replaced already is no news.
func (p *Permit) report(ticket *held) {
	if p.current.Load() != ticket {
		return
	}
	select {
	case p.over <- struct{}{}:
	default:
	}
}

// fetch asks for the newest ticket and tells whether there is a newer one.
func (p *Permit) fetch(ctx context.Context) (bool, error) {
	answer, err := p.conn.Do(ctx, p.ask)
	if err != nil {
		return false, fmt.Errorf("getTicket: %w", err)
	}
	ticket, err := operation.DecodeTicket(answer)
	if err != nil {
		return false, err
	}
	last := p.current.Load()
	if last != nil && last.ticket.Version == ticket.Version {
		return false, nil
	}
	expires, err := time.Parse(time.RFC3339Nano, ticket.ExpiresAt)
	if err != nil {
		return false, fmt.Errorf("getTicket: expiresAt: %w", err)
	}
	p.current.Store(&held{
		ticket:   ticket,
		expires:  expires,
		requests: operation.VoteRequests(p.target, ticket, p.names),
		replaced: make(chan struct{}),
	})
	if last != nil {
		close(last.replaced)
	}
	return true, nil
}

// wait sleeps, or until somebody speaks; an error if ctx ended.
func wait(ctx context.Context, d time.Duration, spoken <-chan struct{}) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-spoken:
	case <-ctx.Done():
	}
	return ctx.Err()
}
