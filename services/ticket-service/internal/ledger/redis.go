package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/redisledger"
)

// Redis is the store of epochs in Redis.
type Redis struct{ Ledger *redisledger.Ledger }

// Ticket implements Store.
func (r Redis) Ticket(ctx context.Context, l epoch.Ledger, ballot string) (redisledger.TicketState, error) {
	state, err := r.Ledger.Ticket(ctx, l.Fence(), ballot)
	return state, over(err)
}

// Mint implements Store.
func (r Redis) Mint(ctx context.Context, l epoch.Ledger, ballot string, m redisledger.Mint) (
	redisledger.Minted, time.Time, time.Time, error,
) {
	done, created, expires, err := r.Ledger.Mint(ctx, l.Fence(), ballot, m)
	return done, created, expires, over(err)
}

func over(err error) error {
	if errors.Is(err, redisledger.ErrWrongEpoch) {
		return fmt.Errorf("%w: %w", ErrOver, err)
	}
	return err
}
