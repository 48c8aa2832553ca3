package epoch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"

	"github.com/littlevote/littlevote/libs/faultpoint"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/tracing"
)

// Log is the topic of the votes, as far as a change of epoch needs it.
type Log interface {
	// EndOffsets returns the topic's id and, per partition, the offset after its last record.
	EndOffsets(ctx context.Context) (uuid.UUID, map[int32]int64, error)
}

// RedisLedger is the part of redisledger that a change of epoch needs.
type RedisLedger interface {
	Alive(ctx context.Context, f redisledger.Fence, ballot string) error
	Seal(ctx context.Context, f redisledger.Fence, ballot string) error
	Load(ctx context.Context, f redisledger.Fence, b redisledger.Ballot, fresh bool) error
	Replication(ctx context.Context) (redisledger.Replication, error)
	Unlink(ctx context.Context, ns string) error
}

// ChangerConfig is what a Changer is made of.
type ChangerConfig struct {
	Store      Store
	Redis      RedisLedger
	Topic      Log
	Me         *Participant // whether Redis answers is its finding; it is told when the row may have changed
	Replicated bool         // the setting: a replica of Redis may exist that we do not see
	Log        *slog.Logger
	Tracer     trace.Tracer // nil: no traces
}

// Changer opens an epoch when none is open, and changes it when its Redis lost the state, is away, or is well again.
// Every vote-service runs one; whoever comes first does it, and whoever comes later goes on where it was left.
type Changer struct {
	ChangerConfig

	kick    chan struct{}
	unnamed []string // names of loads that failed, as far as this process knows
}

// NewChanger returns a changer; Run makes it look.
func NewChanger(cfg ChangerConfig) *Changer {
	return &Changer{ChangerConfig: cfg, kick: make(chan struct{}, 1)}
}

// Kick asks for a look at once.
func (c *Changer) Kick() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// End ends the open epoch in Redis, for a reason that people will read; without effect in any other state. The next one
// is opened by whoever looks first.
func (c *Changer) End(ctx context.Context, reason string) error {
	row, err := c.Store.Current(ctx)
	if err != nil {
		return fmt.Errorf("epoch: end: %w", err)
	}
	return c.end(ctx, row, reason)
}

// Run looks every interval, and at once when kicked, until ctx ends. While an epoch is not open as it should be, it
// looks more often.
func (c *Changer) Run(ctx context.Context, interval time.Duration) error {
	last := ""
	for {
		err := c.look(ctx)
		if err != nil && ctx.Err() == nil && err.Error() != last {
			c.Log.WarnContext(ctx, "the epoch cannot be opened or changed now; trying again", "error", err)
			last = err.Error()
		}
		wait := interval
		if err != nil || c.Me.RedisAway() || !c.Me.RedisWell() {
			wait = min(interval, impatience)
		}
		if err == nil {
			last = ""
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		case <-c.kick:
		}
	}
}

var errMoving = errors.New("epoch: this database is a copy that `littlevote dbmove` makes: it takes votes after the switch")

// look does whatever the row and Redis ask for.
func (c *Changer) look(ctx context.Context) error {
	row, err := c.Store.Current(ctx)
	if errors.Is(err, pgledger.ErrNoEpoch) {
		if err := c.Store.Begin(ctx); err != nil {
			return fmt.Errorf("epoch: begin: %w", err)
		}
		row, err = c.Store.Current(ctx)
	}
	if err != nil {
		return err
	}
	switch {
	case row.State == stateMoving:
		return errMoving
	case row.State == stateOpen && row.Mode == string(Postgres):
		return c.back(ctx, row)
	case row.State == stateOpen:
		reason, err := c.whyEnd(ctx, row)
		if err != nil {
			return err
		}
		if reason == "" {
			c.sweep(ctx, row)
			return c.noteReplicas(ctx, row)
		}
		if err := c.end(ctx, row, reason); err != nil {
			return err
		}
		row.State = stateEnding
	}
	return c.change(ctx, row)
}

// noteReplicas writes down that a replica has come: from then on one may be promoted, and the short way through the barrier is
// closed.
func (c *Changer) noteReplicas(ctx context.Context, row pgledger.Epoch) error {
	if row.Replicated || c.Replicated || !c.Me.RedisWell() {
		return nil
	}
	r, err := c.Redis.Replication(ctx)
	if err != nil || !r.Replicas {
		return nil //nolint:nilerr // the next look asks again
	}
	if err := c.Store.NoteReplicas(ctx, row.Number); err != nil {
		return fmt.Errorf("epoch: note replicas: %w", err)
	}
	return nil
}

// whyEnd returns why the open epoch in Redis must end; empty if it need not.
func (c *Changer) whyEnd(ctx context.Context, row pgledger.Epoch) (string, error) {
	if row.Held {
		return "held by an operator", nil
	}
	if fault := c.Me.RedisFault(); fault != nil {
		return c.confirmAway(ctx, fault)
	}
	if !c.Me.RedisWell() {
		return "", nil
	}
	return c.lost(ctx, row)
}

// confirmAway asks the other processes that use the ledger, if any is alive: one alone may just be cut off itself.
func (c *Changer) confirmAway(ctx context.Context, fault error) (string, error) {
	alive, missing, err := c.Store.Witnesses(ctx, c.Me.cfg.ID, witnessAge(c.Me.cfg.Heartbeat))
	if err != nil {
		return "", fmt.Errorf("epoch: witnesses: %w", err)
	}
	if alive > 0 && missing == 0 {
		return "", errors.New("epoch: Redis does not answer this process, but others")
	}
	return fault.Error(), nil
}

// witnessAge is how fresh a heartbeat must be to make its process a witness.
func witnessAge(heartbeat time.Duration) time.Duration { return max(3*heartbeat, 2*time.Second) }

// lost says why Redis, which answers, is no longer the epoch's ledger.
func (c *Changer) lost(ctx context.Context, row pgledger.Epoch) (string, error) {
	gone, err := c.gone(ctx, row)
	if err != nil || len(gone) == 0 {
		return "", err
	}
	// A ballot that was just made has its row before it has its marker.
	if err := pause(ctx, 100*time.Millisecond); err != nil {
		return "", err
	}
	gone, err = c.gone(ctx, row)
	if err != nil || len(gone) == 0 {
		return "", err
	}
	return fmt.Sprintf("Redis lost the state of %q", gone), nil
}

// gone lists the ballots whose keys are not the epoch's any more.
func (c *Changer) gone(ctx context.Context, row pgledger.Epoch) ([]string, error) {
	ballots, err := c.Store.Ballots(ctx, row.Number)
	if err != nil {
		return nil, fmt.Errorf("epoch: ballots: %w", err)
	}
	var gone []string
	for _, b := range ballots {
		err := c.Redis.Alive(ctx, ledgerOf(row).Fence(), b)
		if errors.Is(err, redisledger.ErrWrongEpoch) {
			gone = append(gone, b)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("epoch: Redis does not answer: %w", err)
		}
	}
	return gone, nil
}

// end marks the epoch as ending, unless somebody has already done that or more.
func (c *Changer) end(ctx context.Context, row pgledger.Epoch, reason string) error {
	c.Log.WarnContext(ctx, "the epoch ends", "epoch", row.Number, "reason", reason)
	if err := c.Store.End(ctx, row.Number, reason); err != nil {
		return fmt.Errorf("epoch: end %d: %w", row.Number, err)
	}
	faultpoint.Hit("epoch.ending")
	c.Me.Suspect()
	c.Kick()
	return nil
}

// change carries the ledger from an ending epoch to the next: in Redis if that is well, else in Postgres.
func (c *Changer) change(ctx context.Context, row pgledger.Epoch) (err error) {
	started := time.Now()
	ctx, span := c.startChange(ctx, row)
	defer func() { tracing.End(span, err) }()
	if err := traced(ctx, "barrier", func(ctx context.Context) error { return c.barrier(ctx, row) }); err != nil {
		return err
	}
	faultpoint.Hit("epoch.barrier-passed")
	if err := traced(ctx, "drain", c.drain); err != nil {
		return err
	}
	if fault := c.Me.RedisFault(); row.Held || fault != nil {
		reason := "held by an operator"
		if !row.Held {
			reason = fault.Error()
		}
		return traced(ctx, "open in postgres", func(ctx context.Context) error { return c.openPostgres(ctx, row, reason, started) })
	}
	return traced(ctx, "open in redis", func(ctx context.Context) error { return c.openRedis(ctx, row, started) })
}

func (c *Changer) openPostgres(ctx context.Context, row pgledger.Epoch, reason string, started time.Time) error {
	next, err := c.Store.OpenPostgres(ctx, row, reason)
	if err != nil {
		return fmt.Errorf("epoch: open %d in Postgres: %w", row.Number+1, err)
	}
	c.Me.Suspect()
	if next.Number != 0 {
		c.Log.WarnContext(ctx, "votes are decided in Postgres from now on", "epoch", next.Number, "took", time.Since(started))
	}
	return nil
}

// back returns from Postgres to Redis, once that is well, nobody holds the epoch, and it has lasted a while.
func (c *Changer) back(ctx context.Context, row pgledger.Epoch) error {
	if row.Held || !row.Rested || !c.Me.RedisWell() || c.Me.RedisAway() {
		return nil
	}
	ctx, span := c.startChange(ctx, row)
	err := traced(ctx, "open in redis", func(ctx context.Context) error { return c.openRedis(ctx, row, time.Now()) })
	tracing.End(span, err)
	return err
}

// barrier waits until nobody can acknowledge in the ending epoch any more.
func (c *Changer) barrier(ctx context.Context, row pgledger.Epoch) error {
	if faultpoint.Mutant("no-barrier") {
		return nil
	}
	for told := false; ; {
		waiting, err := c.Store.Waiting(ctx, row.Number)
		if err != nil {
			return fmt.Errorf("epoch: barrier: %w", err)
		}
		if len(waiting) == 0 {
			return nil
		}
		if c.sealedOff(ctx, row) {
			return nil
		}
		if !told {
			c.Log.InfoContext(ctx, "waiting for participants to stop or lose their lease", "participants", waiting)
			told = true
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// sealedOff is the short way through the barrier, for a Redis without replicas: once the only node that ever held the
// epoch says that it does not, nobody gets anything else from it. With a replica an old primary may still serve somebody.
func (c *Changer) sealedOff(ctx context.Context, row pgledger.Epoch) bool {
	if c.Replicated || row.Replicated || !c.Me.RedisWell() {
		return false
	}
	r, err := c.Redis.Replication(ctx)
	if err != nil || !r.Master {
		return false
	}
	ballots, err := c.Store.Ballots(ctx, row.Number)
	if err != nil {
		return false
	}
	for _, b := range ballots {
		if c.Redis.Seal(ctx, ledgerOf(row).Fence(), b) != nil {
			return false
		}
	}
	return true
}

// drain waits until Postgres holds every record that stands in the log now.
func (c *Changer) drain(ctx context.Context) error {
	if faultpoint.Mutant("no-drain") {
		return nil
	}
	topic, ends, err := c.Topic.EndOffsets(ctx)
	if err != nil {
		return fmt.Errorf("epoch: end offsets: %w", err)
	}
	for told := false; ; {
		behind, err := c.Store.Behind(ctx, topic, ends)
		if err != nil {
			return fmt.Errorf("epoch: offsets: %w", err)
		}
		if behind == 0 {
			return nil
		}
		if !told {
			c.Log.InfoContext(ctx, "waiting for the persister", "records", behind)
			told = true
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}
