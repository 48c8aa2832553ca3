package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/metric"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
)

const (
	roundTimeout = 30 * time.Second
	// lagBound is how long a round waits for the persister. One that is further behind is an incident of its own.
	lagBound = 10 * time.Second
	// lookEvery is the pause between two looks at how far the persister is.
	lookEvery = 20 * time.Millisecond
	// selfShare is how many times longer than it took the pause after Postgres was compared with itself is at least: that
	// reads the whole ledger of the epoch.
	selfShare = 50
	// failedShare is the same for a round that failed: perhaps it was too much for the stores.
	failedShare = 3
)

// Redis is the ledger of an epoch in Redis; see redisledger.Ledger.
type Redis interface {
	Cut(ctx context.Context, f redisledger.Fence, ballot string) (redisledger.Cut, error)
	SetCounts(ctx context.Context, f redisledger.Fence, ballot string, admissions int64, counts []redisledger.Count) error
}

// Topic is the log of the votes.
type Topic interface {
	// EndOffsets returns the topic's id and, per partition, the offset after its last record.
	EndOffsets(ctx context.Context) (uuid.UUID, map[int32]int64, error)
}

// Progress is how far the log is applied; see epoch.Store.
type Progress interface {
	// Behind counts the records up to ends that are not applied.
	Behind(ctx context.Context, topic uuid.UUID, ends map[int32]int64) (int64, error)
}

// Epochs says which ledger votes are decided in now; see epoch.Participant.
type Epochs interface {
	Current() (epoch.Ledger, bool)
}

// Config is what a Reconciler is made of.
type Config struct {
	Pool     *pgxpool.Pool // of the primary
	Redis    Redis
	Topic    Topic
	Progress Progress
	Epochs   Epochs
	End      func(ctx context.Context, reason string) error // ends the open epoch in Redis
	Interval time.Duration                                  // between two rounds; 0: none at all
	Meter    metric.Meter
	Log      *slog.Logger
}

// Reconciler compares in rounds. What it remembers is of one epoch.
type Reconciler struct {
	Config
	metrics *metrics
	turn    turn

	ledger  epoch.Ledger
	ballots map[string]*verified
	selfDue time.Time
	selfBad map[string][]pgledger.SelfDiff
	alarm   atomic.Pointer[string] // what is wrong in Postgres, for people; nil if nothing is
}

// New returns a reconciler; Run makes it work.
func New(cfg Config) (*Reconciler, error) {
	r := &Reconciler{Config: cfg, turn: turn{pool: cfg.Pool}, selfBad: map[string][]pgledger.SelfDiff{}}
	r.begin(epoch.Ledger{})
	var err error
	if r.metrics, err = newMetrics(cfg.Meter); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return r, nil
}

// Degraded says what is wrong in Postgres, be it counts or uses of tickets, for /readyz; empty if nothing is known to be.
func (r *Reconciler) Degraded() string {
	if text := r.alarm.Load(); text != nil {
		return *text
	}
	return r.overspent()
}

// Run compares every interval until ctx ends, whenever it is this instance's turn.
func (r *Reconciler) Run(ctx context.Context) error {
	if r.Interval == 0 {
		<-ctx.Done()
		return nil
	}
	defer r.turn.end()
	failed := false
	for wait := r.Interval; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		started := time.Now()
		mine, err := r.turn.take(ctx)
		if mine {
			err = r.round(ctx)
		} else {
			r.forget()
		}
		if err != nil && !failed && ctx.Err() == nil {
			r.Log.WarnContext(ctx, "the counts cannot be compared now; still trying", "error", err)
		}
		failed = err != nil
		wait = r.Interval
		if failed {
			wait = max(wait, failedShare*time.Since(started))
		}
	}
}

// forget leaves it to the instance whose turn it is to say what is wrong.
func (r *Reconciler) forget() {
	clear(r.selfBad)
	r.tellSelf()
	r.metrics.seen.Store(nil)
}

func (r *Reconciler) begin(l epoch.Ledger) {
	r.ledger, r.ballots, r.selfDue = l, map[string]*verified{}, time.Time{}
}

// errOver says that the epoch ended during a round, or that none is open: there is nothing to compare.
var errOver = errors.New("reconcile: no epoch stayed open")

// round compares every ballot once.
func (r *Reconciler) round(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	found, err := r.compareAll(ctx)
	switch {
	case errors.Is(err, errOver), errors.Is(err, pgledger.ErrNotOpen):
		r.metrics.round(ctx, "skipped")
		return nil
	case err != nil:
		r.metrics.round(ctx, "failed")
		return err
	case found:
		r.metrics.round(ctx, "differs")
		return nil
	}
	r.metrics.round(ctx, "verified")
	return nil
}

// compareAll says whether it found anything wrong.
func (r *Reconciler) compareAll(ctx context.Context) (found bool, err error) {
	l, open := r.Epochs.Current()
	if !open {
		return false, errOver
	}
	if l != r.ledger {
		r.begin(l)
	}
	list, err := pgledger.Ballots(ctx, r.Pool)
	if err != nil {
		return false, err
	}
	names := make([]string, len(list))
	for i, b := range list {
		names[i] = b.Name
	}
	var drifted []drift
	var redisErr error
	if l.Mode == epoch.Redis {
		drifted, redisErr = r.compareRedis(ctx, names)
	} else {
		r.look(ctx, nil)
	}
	if err := errors.Join(redisErr, r.compareSelf(ctx, names, drifted)); err != nil {
		return false, err
	}
	return len(drifted) > 0 || len(r.selfBad) > 0, r.endFor(ctx, drifted)
}

// compareRedis cuts every ballot, waits until all of that is in the ledger, and compares.
func (r *Reconciler) compareRedis(ctx context.Context, names []string) ([]drift, error) {
	cuts := map[string]redisledger.Cut{}
	for _, name := range names {
		cut, err := r.Redis.Cut(ctx, r.ledger.Fence(), name)
		switch {
		case errors.Is(err, redisledger.ErrWrongEpoch), errors.Is(err, redisledger.ErrManyWaiting):
			// A ballot without a marker yet, an epoch that ends, or a jam: others see to it.
		case err != nil:
			return nil, fmt.Errorf("reconcile: cut %s: %w", name, err)
		default:
			cuts[name] = cut
		}
	}
	r.look(ctx, cuts)
	if err := r.showVoids(ctx, cuts); err != nil {
		return nil, err
	}
	if err := r.awaitPersister(ctx); err != nil {
		return nil, err
	}
	var drifted []drift
	for _, name := range names {
		cut, ok := cuts[name]
		if !ok {
			continue
		}
		differ, err := r.compareBallot(ctx, name, cut)
		if err != nil {
			return nil, err
		}
		if len(differ) > 0 {
			drifted = append(drifted, drift{name, differ})
		}
	}
	return drifted, nil
}

// awaitPersister waits until everything that stands in the log now is in the ledger.
func (r *Reconciler) awaitPersister(ctx context.Context) error {
	topic, ends, err := r.Topic.EndOffsets(ctx)
	if err != nil {
		return fmt.Errorf("reconcile: end offsets: %w", err)
	}
	for deadline := time.Now().Add(lagBound); ; {
		behind, err := r.Progress.Behind(ctx, topic, ends)
		if err != nil {
			return fmt.Errorf("reconcile: offsets: %w", err)
		}
		if behind == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("reconcile: the persister is %d records behind", behind)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lookEvery):
		}
	}
}

func (r *Reconciler) compareBallot(ctx context.Context, name string, cut redisledger.Cut) ([]difference, error) {
	read := func(ctx context.Context, after, upTo int64, since time.Time) ([]pgledger.CutRow, error) {
		return pgledger.CutSums(ctx, r.Pool, r.ledger.Epoch, name, after, upTo, since)
	}
	if v := r.ballots[name]; v != nil {
		differ, err := v.compare(ctx, cut, read)
		if err != nil || len(differ) == 0 {
			return nil, err
		}
		delete(r.ballots, name) // it may be what was kept that is wrong
	}
	base, err := pgledger.Base(ctx, r.Pool, r.ledger.Epoch, name)
	if err != nil {
		return nil, err
	}
	v := &verified{sums: maps.Clone(base)}
	differ, err := v.compare(ctx, cut, read)
	if err == nil && len(differ) == 0 {
		r.ballots[name] = v
	}
	return differ, err
}
