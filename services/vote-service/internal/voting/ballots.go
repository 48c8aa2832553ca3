package voting

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/littlevote/littlevote/libs/groupcommit"
	"github.com/littlevote/littlevote/libs/pgledger"
)

// ballot is a ballot's rules and the votes that wait for it.
type ballot struct {
	rules       pgledger.Ballot // as they were when the ballot was first seen; what changes later is decided in the ledger
	queue       *groupcommit.Queue[*job]
	retractions *groupcommit.Queue[*job] // a batch holds votes or retractions, never both
	known       sync.Map                 // names that the open list is known to have; it never loses one within an epoch
}

// allows says whether the ballot takes a candidate's name.
func (b *ballot) allows(name string) bool {
	if b.rules.Candidates != nil {
		return slices.Contains(b.rules.Candidates, name)
	}
	return IsName(name)
}

// Ballots is the directory of ballots, refreshed from Postgres.
type Ballots struct {
	store Store
	open  func(rules pgledger.Ballot) *ballot
	log   *slog.Logger
	mu    sync.RWMutex
	names map[string]*ballot
	rules []pgledger.Ballot // as they are now
}

func newBallots(store Store, open func(pgledger.Ballot) *ballot, log *slog.Logger) *Ballots {
	return &Ballots{store: store, open: open, log: log, names: map[string]*ballot{}}
}

func (d *Ballots) find(name string) *ballot {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.names[name]
}

// missing says why a ballot is not found. A process that has just started knows none, and cannot say that there is none.
func (d *Ballots) missing() *refusal {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if len(d.names) == 0 {
		return &refusedAway
	}
	return &refusedNoBallot
}

func (d *Ballots) all() []*ballot {
	d.mu.RLock()
	defer d.mu.RUnlock()
	list := make([]*ballot, 0, len(d.names))
	for _, b := range d.names {
		list = append(list, b)
	}
	return list
}

// current returns the rules of all ballots as they were last read.
func (d *Ballots) current() []pgledger.Ballot {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.rules
}

// refresh adds ballots that are new. What the rules say about time and state is decided in the ledger, not here.
func (d *Ballots) refresh(ctx context.Context) error {
	list, err := d.store.Ballots(ctx)
	if err != nil {
		return fmt.Errorf("ballots: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rules = list
	for _, rules := range list {
		if d.names[rules.Name] == nil {
			d.names[rules.Name] = d.open(rules)
		}
	}
	return nil
}

// run refreshes the directory until ctx ends; while Postgres is away the ballots stay as they are.
func (d *Ballots) run(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	failing := false
	for {
		err := d.refresh(ctx)
		if err != nil && ctx.Err() == nil && !failing {
			d.log.WarnContext(ctx, "the ballots cannot be read now; still trying", "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
