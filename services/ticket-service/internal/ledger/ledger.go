// Package ledger is where tickets stand: in the Redis or the Postgres of the open epoch.
//
// A ticket belongs to one epoch, so to one ledger, and no other ledger ever admits it. That is why nothing here guards the
// moment at which the epoch changes: what is read from or minted in the old one is worth nothing (H23), and each store
// refuses by itself once its epoch is over.
package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/redisledger"
)

// lookEvery is how soon a call that hangs is given up when its epoch is over. It is a look at memory only.
const lookEvery = 20 * time.Millisecond

// ErrOver says that the epoch of the call is over, or that none is open. The call had no effect that counts.
var ErrOver = errors.New("ledger: the epoch is not open")

// Store holds the tickets of epochs of one mode. Its clock is the one that decides.
type Store interface {
	// Ticket reads the newest ticket of a ballot; ErrOver if l is not the ledger of the open epoch.
	Ticket(ctx context.Context, l epoch.Ledger, ballot string) (redisledger.TicketState, error)
	// Mint makes the missing ticket; on MintDone created and expires are its window.
	Mint(ctx context.Context, l epoch.Ledger, ballot string, m redisledger.Mint) (
		done redisledger.Minted, created, expires time.Time, err error)
}

// Epochs knows the ledger of the open epoch.
type Epochs interface {
	Current() (l epoch.Ledger, ok bool)
	Suspect() // Current may be wrong: have a look
}

// Tickets reads and mints in the ledger of the open epoch, whichever store that is.
type Tickets struct {
	epochs Epochs
	stores map[epoch.Mode]Store
}

// New returns the tickets of both stores.
func New(epochs Epochs, redis, postgres Store) *Tickets {
	return &Tickets{epochs: epochs, stores: map[epoch.Mode]Store{epoch.Redis: redis, epoch.Postgres: postgres}}
}

// Ticket reads the newest ticket of a ballot, and says in which ledger.
func (t *Tickets) Ticket(ctx context.Context, ballot string) (epoch.Ledger, redisledger.TicketState, error) {
	l, store, err := t.current()
	if err != nil {
		return l, redisledger.TicketState{}, err
	}
	state, err := await(ctx, t, l, func(ctx context.Context) (redisledger.TicketState, error) {
		return store.Ticket(ctx, l, ballot)
	})
	return l, state, err
}

// window is what Mint returns.
type window struct {
	done             redisledger.Minted
	created, expires time.Time
}

// Mint makes the missing ticket in a ledger that Ticket has named.
func (t *Tickets) Mint(ctx context.Context, l epoch.Ledger, ballot string, m redisledger.Mint) (
	done redisledger.Minted, created, expires time.Time, err error,
) {
	now, store, err := t.current()
	if err == nil && now != l {
		err = ErrOver
	}
	if err != nil {
		return "", created, expires, err
	}
	w, err := await(ctx, t, l, func(ctx context.Context) (window, error) {
		done, created, expires, err := store.Mint(ctx, l, ballot, m)
		return window{done, created, expires}, err
	})
	return w.done, w.created, w.expires, err
}

func (t *Tickets) current() (epoch.Ledger, Store, error) {
	l, open := t.epochs.Current()
	if !open {
		return l, nil, ErrOver
	}
	store := t.stores[l.Mode]
	if store == nil {
		return l, nil, fmt.Errorf("ledger: unknown mode %q", l.Mode)
	}
	return l, store, nil
}

// await waits for a call, but no longer than its ledger is the open one: a store that hangs would otherwise keep its callers
// from the next. Whatever goes wrong may be the first sign of a change.
func await[T any](ctx context.Context, t *Tickets, l epoch.Ledger, call func(context.Context) (T, error)) (T, error) {
	type reply struct {
		value T
		err   error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan reply, 1)
	go func() {
		value, err := call(ctx)
		done <- reply{value, err}
	}()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case r := <-done:
			if r.err != nil {
				t.epochs.Suspect()
			}
			return r.value, r.err
		case <-ctx.Done():
			var none T
			return none, ctx.Err()
		case <-look.C:
			if now, open := t.epochs.Current(); !open || now != l {
				var none T
				return none, ErrOver
			}
		}
	}
}
