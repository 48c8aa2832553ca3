package epoch

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
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
	row   pgledger.Epoch
	until time.Time // monotonic, counted from before the heartbeat was sent
}

// impatience is how often a process without an open epoch looks for one.
const impatience = 100 * time.Millisecond

// Participant is this process's part in the epochs. All methods may be called at once.
type Participant struct {
	cfg    Config
	pool   *pgxpool.Pool
	log    *slog.Logger
	belief atomic.Pointer[belief] // nil: takes part in nothing
	kick   chan struct{}
}

// NewParticipant returns a participant that knows nothing yet; Run makes it take part.
func NewParticipant(pool *pgxpool.Pool, cfg Config, log *slog.Logger) *Participant {
	return &Participant{cfg: cfg, pool: pool, log: log, kick: make(chan struct{}, 1)}
}

// Current returns the ledger to work on; ok is false while none is open or the lease is over.
func (p *Participant) Current() (f redisledger.Fence, ok bool) {
	b := p.belief.Load()
	if b == nil || !time.Now().Before(b.until) {
		return redisledger.Fence{}, false
	}
	return fenceOf(b.row), true
}

// Live is the lease check: whether what the ledger of f has just said may still be told to a client as true.
func (p *Participant) Live(f redisledger.Fence) bool {
	now, ok := p.Current()
	return ok && now == f
}

// Suspect asks for a look at the row at once, since a script said that f is not the ledger.
func (p *Participant) Suspect() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// Ready is a health check: nil while a ledger is open and the lease runs.
func (p *Participant) Ready(context.Context) error {
	if _, ok := p.Current(); !ok {
		return errors.New("no ledger is open, or Postgres has not confirmed it within the lease")
	}
	return nil
}

// Run beats until ctx ends, then says that it stopped. Stop acknowledging before you end ctx.
func (p *Participant) Run(ctx context.Context) error {
	failed := false
	for {
		err := p.beat(ctx)
		if err != nil && ctx.Err() == nil && !failed {
			p.log.WarnContext(ctx, "no heartbeat: Postgres does not answer", "error", err)
		}
		failed = err != nil
		select {
		case <-ctx.Done():
			p.belief.Store(nil)
			p.leave(context.WithoutCancel(ctx))
			return nil
		case <-time.After(p.pause()):
		case <-p.kick:
		}
	}
}

// pause is how long to wait for the next heartbeat: less while no epoch is open, so that a change is over soon.
func (p *Participant) pause() time.Duration {
	if _, ok := p.Current(); ok {
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
	row, err := p.renew(ctx)
	if errors.Is(err, pgx.ErrNoRows) {
		p.belief.Store(nil)
		return nil
	}
	if err != nil {
		return err
	}
	before := p.belief.Load()
	if isOpen(row) {
		p.belief.Store(&belief{row: row, until: sent.Add(p.cfg.Lease)})
		if before == nil || before.row.Number != row.Number {
			p.log.InfoContext(ctx, "epoch is open", "epoch", row.Number, "mode", row.Mode)
		}
		return nil
	}
	p.belief.Store(nil)
	if before != nil {
		p.log.WarnContext(ctx, "epoch is ending", "epoch", row.Number)
	}
	_, err = p.pool.Exec(ctx, "UPDATE participants SET stopped = true WHERE id = $1 AND epoch <= $2", p.cfg.ID, row.Number)
	return err
}

// renew reads the row under a share lock and, only while it is open, writes the lease, in one statement.
func (p *Participant) renew(ctx context.Context) (pgledger.Epoch, error) {
	var e pgledger.Epoch
	err := p.pool.QueryRow(ctx, `
		WITH e AS MATERIALIZED (SELECT * FROM ledger_epoch FOR SHARE),
		lease AS (
			INSERT INTO participants (id, service, epoch, stopped, lease_until)
			SELECT $1, $2, epoch, false, now() + $3::interval FROM e WHERE state = 'open'
			ON CONFLICT (id) DO UPDATE
			SET epoch = excluded.epoch, stopped = false, lease_until = excluded.lease_until
		)
		SELECT epoch, mode, state, ns, replid, replicated FROM e`,
		p.cfg.ID, p.cfg.Service, p.cfg.Lease,
	).Scan(&e.Number, &e.Mode, &e.State, &e.NS, &e.ReplID, &e.Replicated)
	return e, err
}

// leave gives the lease up, so that nobody has to wait for its end.
func (p *Participant) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if _, err := p.pool.Exec(ctx, "DELETE FROM participants WHERE id = $1", p.cfg.ID); err != nil {
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
