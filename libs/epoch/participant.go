package epoch

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/littlevote/littlevote/libs/faultpoint"
	"github.com/littlevote/littlevote/libs/pgledger"
)

// Config sets a participant up.
type Config struct {
	ID        string        // unique among all processes that live
	Service   string        // what kind of process it is, for people
	Lease     time.Duration // how long a belief holds without a heartbeat
	Heartbeat time.Duration
}

// belief is what a participant holds for true, and until when.
type belief struct {
	ledger Ledger
	until  time.Time // monotonic, counted from before the heartbeat was sent
}

// impatience is how often a process looks for an epoch while none is open, or while Redis is silent.
const impatience = 100 * time.Millisecond

// Participant is this process's part in the epochs. All methods may be called at once.
type Participant struct {
	cfg    Config
	store  Store
	probe  prober
	log    *slog.Logger
	belief atomic.Pointer[belief] // nil: takes part in nothing
	kick   chan struct{}
}

// NewParticipant returns a participant that knows nothing yet; Run makes it take part.
func NewParticipant(store Store, redis Pinger, cfg Config, log *slog.Logger) *Participant {
	p := &Participant{cfg: cfg, store: store, log: log, kick: make(chan struct{}, 1)}
	p.probe = prober{redis: redis, flipped: p.Suspect}
	return p
}

// Current returns the ledger to work on; ok is false while none is open or the lease is over.
func (p *Participant) Current() (l Ledger, ok bool) {
	b := p.belief.Load()
	if b == nil || !time.Now().Before(b.until) {
		return Ledger{}, false
	}
	return b.ledger, true
}

// Live is the lease check: whether what the ledger l has just said may still be told to a client as true.
func (p *Participant) Live(l Ledger) bool {
	if faultpoint.Mutant("no-lease-check") {
		return true
	}
	now, ok := p.Current()
	return ok && now == l
}

// Suspect asks for a look at the row at once, since a script said that the ledger is another one, or Redis is silent.
func (p *Participant) Suspect() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// RedisAway says that Redis has not answered this process for a while, or can't be a ledger as it is.
func (p *Participant) RedisAway() bool { return p.RedisFault() != nil }

// RedisFault says why Redis is away; nil while it is not.
func (p *Participant) RedisFault() error {
	if fault := p.probe.fault.Load(); fault != nil {
		return fmt.Errorf("epoch: Redis is away: %w", *fault)
	}
	return nil
}

// RedisWell says that Redis answered when it was last asked.
func (p *Participant) RedisWell() bool { return p.probe.well.Load() }

// Ready is a health check: nil while a ledger is open and the lease runs.
func (p *Participant) Ready(context.Context) error {
	if _, ok := p.Current(); !ok {
		return errors.New("no ledger is open, or Postgres has not confirmed it within the lease")
	}
	return nil
}

// Degraded says in words what this process cannot do as usual now; empty if all is well.
func (p *Participant) Degraded() string {
	fault := p.RedisFault() // once: it may end at any moment
	switch l, ok := p.Current(); {
	case !ok:
		return "no ledger is open: votes are refused, counts may be stale"
	case l.Mode == Postgres:
		if fault != nil {
			return fmt.Sprintf("votes are decided in Postgres; %v", fault)
		}
		return "votes are decided in Postgres, since Redis was away or is held"
	case fault != nil:
		return fault.Error()
	default:
		return ""
	}
}

// Run beats until ctx ends, then says that it stopped. Stop acknowledging before you end ctx.
func (p *Participant) Run(ctx context.Context) error {
	var probing sync.WaitGroup
	probing.Go(func() { p.probe.run(ctx) })
	defer probing.Wait()
	failed := false
	for {
		err := p.beat(ctx)
		if err != nil && ctx.Err() == nil && !failed {
			p.log.WarnContext(ctx, "no heartbeat: Postgres does not answer", "error", err)
		}
		failed = err != nil
		// A kick may come with every vote that fails.
		if pause(ctx, min(p.cfg.Heartbeat, impatience)/4) == nil {
			select {
			case <-ctx.Done():
			case <-time.After(p.pause()):
			case <-p.kick:
			}
		}
		if ctx.Err() != nil {
			p.belief.Store(nil)
			p.leave(context.WithoutCancel(ctx))
			return nil
		}
	}
}

// pause is how long to wait for the next heartbeat: less while a change of epoch is on or near, so that it is over soon.
func (p *Participant) pause() time.Duration {
	if _, ok := p.Current(); ok && p.RedisWell() {
		return p.cfg.Heartbeat
	}
	return min(p.cfg.Heartbeat, impatience)
}

// beat renews the lease and follows the row. Order matters when the epoch ends: first this process stops believing,
// and only then does it say so.
func (p *Participant) beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Lease/2)
	defer cancel()
	sent := time.Now()
	row, err := p.store.Renew(ctx, Beat{
		ID: p.cfg.ID, Service: p.cfg.Service, Lease: p.cfg.Lease, RedisAway: p.RedisAway(),
	})
	if errors.Is(err, pgledger.ErrNoEpoch) {
		p.belief.Store(nil)
		return nil
	}
	if err != nil {
		return err
	}
	before := p.belief.Load()
	if isOpen(row) {
		p.belief.Store(&belief{ledger: ledgerOf(row), until: sent.Add(p.cfg.Lease)})
		if before == nil || before.ledger.Epoch != row.Number {
			p.log.InfoContext(ctx, "epoch is open", "epoch", row.Number, "mode", row.Mode)
		}
		return nil
	}
	p.belief.Store(nil)
	if before != nil {
		p.log.WarnContext(ctx, "epoch is ending", "epoch", row.Number)
	}
	return p.store.Stop(ctx, p.cfg.ID, row.Number)
}

// leave gives the lease up, so that nobody has to wait for its end.
func (p *Participant) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := p.store.Leave(ctx, p.cfg.ID); err != nil {
		p.log.WarnContext(ctx, "the lease could not be given up and runs out by itself", "error", err)
	}
}

// NewID names this process: for people by its host and number, for the protocol by chance.
func NewID() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s-%d-%s", host, os.Getpid(), rand.Text()[:8])
}
