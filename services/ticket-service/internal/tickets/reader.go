// Package tickets answers GetTicket.
package tickets

import (
	"context"
	"sync"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/groupcommit"
	"github.com/littlevote/littlevote/libs/redisledger"
)

const (
	// maxTogether is how many callers one fetch may answer.
	maxTogether = 10_000
	// maxWaiting is how many callers may wait for one ballot.
	maxWaiting = 20_000
)

// Ledger is the tickets of the open epoch; see ledger.Tickets.
type Ledger interface {
	Ticket(ctx context.Context, ballot string) (epoch.Ledger, redisledger.TicketState, error)
}

// Reader reads tickets. Callers who ask for the same ballot while a fetch is under way share the next one, and only
// that: a fetch that has been sent may have missed what its later callers know to have happened.
type Reader struct {
	ledger Ledger

	mu       sync.Mutex
	ballots  map[string]*groupcommit.Batcher[chan<- answer]
	isClosed bool
}

// answer goes to every caller of a fetch.
type answer struct {
	state redisledger.TicketState
	err   error
}

// NewReader returns a reader; Close ends it.
func NewReader(ledger Ledger) *Reader {
	return &Reader{ledger: ledger, ballots: map[string]*groupcommit.Batcher[chan<- answer]{}}
}

// Get reads the newest ticket of a ballot that exists.
func (r *Reader) Get(ctx context.Context, ballot string) (redisledger.TicketState, error) {
	batcher, err := r.batcher(ballot)
	if err != nil {
		return redisledger.TicketState{}, err
	}
	reply := make(chan answer, 1)
	if err := batcher.Put(reply); err != nil {
		return redisledger.TicketState{}, err
	}
	select {
	case a := <-reply:
		return a.state, a.err
	case <-ctx.Done():
		return redisledger.TicketState{}, ctx.Err()
	}
}

// Close answers who still waits, and takes nobody more in.
func (r *Reader) Close(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.isClosed = true
	for _, b := range r.ballots {
		b.Close(ctx)
	}
}

// batcher returns the ballot's own batcher, so that no ballot waits for another.
func (r *Reader) batcher(ballot string) (*groupcommit.Batcher[chan<- answer], error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isClosed {
		return nil, groupcommit.ErrClosed
	}
	b := r.ballots[ballot]
	if b == nil {
		cfg := groupcommit.Config{Workers: 1, MaxBatch: maxTogether, MaxQueue: maxWaiting}
		b = groupcommit.New(cfg, func(ctx context.Context, waiting []chan<- answer) {
			_, state, err := r.ledger.Ticket(ctx, ballot)
			for _, w := range waiting {
				w <- answer{state, err}
			}
		})
		r.ballots[ballot] = b
	}
	return b, nil
}
