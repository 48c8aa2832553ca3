package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
)

// postgresTimeout bounds a call: one that hangs on a server which is gone must not keep its ballot from the server that
// has taken its place.
const postgresTimeout = 2 * time.Second

// Postgres is the store of epochs in Postgres. It needs the primary.
type Postgres struct{ Pool *pgxpool.Pool }

// Ticket implements Store.
func (p Postgres) Ticket(ctx context.Context, l epoch.Ledger, ballot string) (redisledger.TicketState, error) {
	ctx, cancel := context.WithTimeout(ctx, postgresTimeout)
	defer cancel()
	found, err := pgledger.ReadTicket(ctx, p.Pool, l.Epoch, ballot)
	if err != nil {
		return redisledger.TicketState{}, notOpen(err)
	}
	state := redisledger.TicketState{Now: found.Now, LastNumber: found.LastNumber, Successor: found.Successor}
	if found.Newest != nil {
		newest := redisledger.Ticket(*found.Newest)
		state.Newest = &newest
	}
	return state, nil
}

// Mint implements Store.
func (p Postgres) Mint(ctx context.Context, l epoch.Ledger, ballot string, m redisledger.Mint) (
	redisledger.Minted, time.Time, time.Time, error,
) {
	ctx, cancel := context.WithTimeout(ctx, postgresTimeout)
	defer cancel()
	done, created, expires, err := pgledger.MintTicket(ctx, p.Pool, l.Epoch, ballot, pgledger.Mint{
		Number: m.Number, Version: m.Version, Value: m.Value, Cap: m.Cap, Interval: m.Interval, Fence: m.Fence,
	})
	return redisledger.Minted(done), created, expires, notOpen(err)
}

func notOpen(err error) error {
	if errors.Is(err, pgledger.ErrNotOpen) {
		return fmt.Errorf("%w: %w", ErrOver, err)
	}
	return err
}
