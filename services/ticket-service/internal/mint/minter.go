// Package mint keeps, for every open ballot, the ticket of the current window and that of the next one in the ledger of the
// open epoch, be it in Redis or in Postgres.
//
// A ballot has a loop of its own, so a slow one keeps no other waiting. Each replica runs all loops, and each loop asks
// before it mints whether it may:
//
//   - The holder of the producer lock mints as soon as a ticket is missing. That is right after each rotation, by
//     the clock of the ledger, so a whole window ahead of need.
//   - Any other replica waits. When the ticket is still missing after a lock's life it mints nevertheless, as the one
//     that *fills in*, and goes on at once with every next ticket until it sees one that another has minted. So the
//     loss of the lock's store, or a holder that lives and does not mint, leaves the windows without a gap as long as
//     a lock's life is shorter than a window, and otherwise costs a lock's life, once.
//   - The first ticket of an epoch is anybody's, for a change of epoch keeps voters waiting as it is; and so is every
//     ticket of an epoch in Postgres, since the lock may stand in the Redis that is away. What this costs while nobody
//     holds the lock is a proposal of each replica per window.
//
// This cannot make two tickets of one window: the ledger takes a ticket only under the next number, and only if it is
// missing. The fence in it keeps out a holder that is late.
package mint

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/ticket"
	"github.com/littlevote/littlevote/services/ticket-service/internal/ballots"
	"github.com/littlevote/littlevote/services/ticket-service/internal/history"
	"github.com/littlevote/littlevote/services/ticket-service/internal/lock"
)

// watchEvery is how soon a change of epoch, of the lock or of the ballots is noticed. It is a look at memory only.
const watchEvery = 20 * time.Millisecond

// Ledger is the tickets of the open epoch; see ledger.Tickets.
type Ledger interface {
	Ticket(ctx context.Context, ballot string) (epoch.Ledger, redisledger.TicketState, error)
	Mint(ctx context.Context, l epoch.Ledger, ballot string, m redisledger.Mint) (
		done redisledger.Minted, created, expires time.Time, err error)
}

// Epochs knows the ledger of the open epoch.
type Epochs interface {
	Current() (l epoch.Ledger, ok bool)
}

// Ballots knows the ballots; see ballots.Directory.
type Ballots interface {
	Get(name string) (ballots.Ballot, bool)
	Set() *ballots.Set // another pointer whenever something has changed; nil until something is known
}

// Lock says whether this replica is the producer; nil if it is not.
type Lock interface{ Hold() *lock.Hold }

// History takes the tickets that there were; Add never waits.
type History interface {
	Add(ctx context.Context, t history.Ticket)
}

// Config is what a Minter is made of.
type Config struct {
	Ledger  Ledger
	Epochs  Epochs
	Ballots Ballots
	Lock    Lock
	History History
	Keys    *ticket.Keys
	LockTTL time.Duration // how long a missing ticket is left to the holder of the lock
	Tracer  trace.Tracer  // nil: no traces
	Meter   metric.Meter
	Log     *slog.Logger
}

// Minter runs the loops.
type Minter struct {
	Config
	metrics metrics
	missing atomic.Int64 // loops that have no current ticket, as far as they could see

	mu   sync.Mutex
	wake chan struct{} // closed and replaced when the loops have to look at once
}

// New returns a minter; Run makes it mint.
func New(cfg Config) (*Minter, error) {
	m := &Minter{Config: cfg, wake: make(chan struct{})}
	if err := m.observe(cfg.Meter); err != nil {
		return nil, err
	}
	return m, nil
}

// view is all that the loops depend on beside the tickets themselves.
type view struct {
	ledger  epoch.Ledger
	open    bool
	hold    *lock.Hold
	ballots *ballots.Set
}

func (m *Minter) look() view {
	l, ok := m.Epochs.Current()
	return view{ledger: l, open: ok, hold: m.Lock.Hold(), ballots: m.Ballots.Set()}
}

// Run keeps a loop for every open ballot until ctx ends, and waits for them then.
func (m *Minter) Run(ctx context.Context) error {
	loops := map[string]context.CancelFunc{}
	var running sync.WaitGroup
	defer running.Wait()
	defer func() {
		for _, stop := range loops {
			stop()
		}
	}()
	watch := time.NewTicker(watchEvery)
	defer watch.Stop()
	var seen view
	for {
		now := m.look()
		if now != seen {
			m.adjust(ctx, now.ballots, loops, &running)
			m.wakeAll()
			seen = now
		}
		select {
		case <-ctx.Done():
			return nil
		case <-watch.C:
		}
	}
}

// adjust starts and stops loops so that there is one for each open ballot.
func (m *Minter) adjust(ctx context.Context, set *ballots.Set, loops map[string]context.CancelFunc, running *sync.WaitGroup) {
	if set == nil {
		return
	}
	for name, stop := range loops {
		if !(*set)[name].Open {
			stop()
			delete(loops, name)
		}
	}
	for name, b := range *set {
		if _, there := loops[name]; there || !b.Open {
			continue
		}
		loopCtx, stop := context.WithCancel(ctx)
		loops[name] = stop
		running.Go(func() { (&loop{m: m, ballot: name}).run(loopCtx) })
	}
}

func (m *Minter) wakeAll() {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.wake)
	m.wake = make(chan struct{})
}

func (m *Minter) awake() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wake
}
