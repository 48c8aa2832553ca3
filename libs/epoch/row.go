package epoch

import (
	"context"
	"time"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
)

// Mode says which store decides the votes of an epoch.
type Mode string

// The modes.
const (
	Redis    Mode = "redis"
	Postgres Mode = "pg"
)

// Ledger is what an open epoch's votes are decided in.
type Ledger struct {
	Epoch int64
	Mode  Mode
	NS    string // the name of its keys in Redis; empty in Postgres
}

// Fence returns what the scripts of a ledger in Redis need.
func (l Ledger) Fence() redisledger.Fence { return redisledger.Fence{Epoch: l.Epoch, NS: l.NS} }

// The states of the row.
const (
	stateOpen   = "open"
	stateEnding = "ending"
	stateMoving = "moving" // the database is a copy on its way elsewhere: leave its row alone
)

func ledgerOf(e pgledger.Epoch) Ledger {
	l := Ledger{Epoch: e.Number, Mode: Mode(e.Mode)}
	if l.Mode == Redis {
		l.NS = e.NS
	}
	return l
}

// isOpen says that votes are decided under this row.
func isOpen(e pgledger.Epoch) bool { return e.State == stateOpen }

// pause waits, or returns ctx's error.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
