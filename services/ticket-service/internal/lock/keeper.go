package lock

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"
)

// ErrTaken says that somebody else holds the lock.
var ErrTaken = errors.New("lock: taken")

// ErrLost says that the lock is certainly no longer ours.
var ErrLost = errors.New("lock: lost")

// Backend is a store that can keep the lock.
type Backend interface {
	// Take takes the lock if it is free; ErrTaken if it is not. After any other error it may be taken until its end.
	Take(ctx context.Context) (Claim, error)
}

// Claim is the lock as the backend knows it.
type Claim interface {
	Fence() int64
	// Life is how long the lock lasts after Take or Renew.
	Life() time.Duration
	// Renew makes it last longer. ErrLost is final; after any other error nothing is known.
	Renew(ctx context.Context) error
	// Release gives the lock back; it does nothing if the lock is another's by now.
	Release(ctx context.Context) error
}

// Hold is a time in which this process holds the lock.
type Hold struct {
	fence  int64
	until  atomic.Pointer[time.Time] // monotonic
	lost   chan struct{}
	resign chan struct{}
}

// Fence is the hold's fencing number; 0 if there is no lock at all.
func (h *Hold) Fence() int64 { return h.fence }

// Valid says whether the lock is still held now.
func (h *Hold) Valid() bool {
	select {
	case <-h.lost:
		return false
	default:
		return time.Now().Before(*h.until.Load())
	}
}

// Lost is closed when the hold has ended, for whatever reason.
func (h *Hold) Lost() <-chan struct{} { return h.lost }

// Resign gives the lock up, since a later holder has shown up.
func (h *Hold) Resign() {
	select {
	case h.resign <- struct{}{}:
	default:
	}
}

func newHold(fence int64, until time.Time) *Hold {
	h := &Hold{fence: fence, lost: make(chan struct{}), resign: make(chan struct{}, 1)}
	h.until.Store(&until)
	return h
}

// Keeper tries to take the lock, and keeps it for as long as it can.
type Keeper struct {
	backend Backend
	ttl     time.Duration
	log     *slog.Logger
	hold    atomic.Pointer[Hold]
}

// NewKeeper returns a keeper that holds nothing; Run makes it try. ttl sets its pace.
func NewKeeper(backend Backend, ttl time.Duration, log *slog.Logger) *Keeper {
	return &Keeper{backend: backend, ttl: ttl, log: log}
}

// Hold returns the hold in force, nil if there is none.
func (k *Keeper) Hold() *Hold {
	h := k.hold.Load()
	if h == nil || !h.Valid() {
		return nil
	}
	return h
}

// Run works until ctx ends, and releases the lock then.
func (k *Keeper) Run(ctx context.Context) error {
	failing := false
	for ctx.Err() == nil {
		sent := time.Now()
		claim, err := k.take(ctx)
		switch {
		case err == nil:
			k.keep(ctx, claim, sent)
			failing = false
			continue
		case errors.Is(err, ErrTaken):
			failing = false
		case !failing && ctx.Err() == nil:
			k.log.WarnContext(ctx, "the producer lock cannot be taken; still trying", "error", err)
			failing = true
		}
		pause(ctx, k.ttl/10)
	}
	return nil
}

func (k *Keeper) take(ctx context.Context) (Claim, error) {
	ctx, cancel := context.WithTimeout(ctx, k.ttl)
	defer cancel()
	return k.backend.Take(ctx)
}

// keep renews the claim, taken by a request sent at that moment, until it is lost, resigned, or ctx ends.
func (k *Keeper) keep(ctx context.Context, claim Claim, sent time.Time) {
	hold := newHold(claim.Fence(), sent.Add(claim.Life()))
	k.hold.Store(hold)
	k.log.InfoContext(ctx, "holds the producer lock", "fence", hold.fence)
	reason := k.renew(ctx, claim, hold)
	k.hold.Store(nil)
	close(hold.lost)
	k.log.InfoContext(ctx, "the producer lock has ended", "fence", hold.fence, "reason", reason)
	if errors.Is(reason, ErrLost) {
		return
	}
	// ctx may be over, and that must not keep the others waiting.
	release, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := claim.Release(release); err != nil {
		k.log.WarnContext(ctx, "the producer lock could not be released and runs out by itself", "error", err)
	}
}

// The reasons why a hold ends, beside ErrLost.
var (
	errRanOut   = errors.New("not renewed in time")
	errResigned = errors.New("another holder has minted")
	errStopped  = errors.New("the service stops")
)

// renew returns why the hold is over.
func (k *Keeper) renew(ctx context.Context, claim Claim, hold *Hold) error {
	every := time.NewTicker(claim.Life() / 3)
	defer every.Stop()
	for {
		end := time.NewTimer(time.Until(*hold.until.Load()))
		select {
		case <-ctx.Done():
			end.Stop()
			return errStopped
		case <-hold.resign:
			end.Stop()
			return errResigned
		case <-end.C:
			return errRanOut
		case <-every.C:
			end.Stop()
		}
		sent := time.Now()
		if !sent.Before(*hold.until.Load()) {
			return errRanOut
		}
		err := renewOnce(ctx, claim)
		switch {
		case err == nil:
			until := sent.Add(claim.Life())
			hold.until.Store(&until)
		case errors.Is(err, ErrLost):
			return ErrLost
		}
	}
}

func renewOnce(ctx context.Context, claim Claim) error {
	ctx, cancel := context.WithTimeout(ctx, claim.Life()/3)
	defer cancel()
	return claim.Renew(ctx)
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
