package voting

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/groupcommit"
	"github.com/littlevote/littlevote/libs/loader"
	"github.com/littlevote/littlevote/libs/pgledger"
)

// stateDraft is that of a ballot whose rules may still change; later only what the ledger decides by itself does, and names
// are added to a closed list.
const stateDraft = "draft"

// ballot is a ballot and the votes that wait for it.
type ballot struct {
	name        string
	now         atomic.Pointer[rules]
	knownIn     atomic.Pointer[epoch.Ledger] // the last epoch in Redis that is known to know it
	queue       *groupcommit.Queue[*job]
	retractions *groupcommit.Queue[*job] // a batch holds votes and changes, or retractions, never both
	known       sync.Map                 // names that the open list is known to have; it never loses one within an epoch
	full        full
	answered    answers
	oldest      atomic.Int64 // age of the oldest batch in the outbox at the last look, in ns
}

// isKnownIn says whether an epoch in Redis has ever known the ballot.
func (b *ballot) isKnownIn(l epoch.Ledger) bool {
	in := b.knownIn.Load()
	return in != nil && *in == l
}

// rules are what a ballot's row said when it was last read. State and times are decided in the ledger, not by these.
type rules struct {
	pgledger.Ballot

	listed  map[string]bool
	pattern *regexp.Regexp // nil: any
}

func newRules(b pgledger.Ballot, log *slog.Logger) *rules {
	r := &rules{Ballot: b}
	if b.Candidates != nil {
		r.listed = make(map[string]bool, len(b.Candidates))
		for _, name := range b.Candidates {
			r.listed[name] = true
		}
	}
	if b.CandidatePattern != "" {
		var err error
		if r.pattern, err = regexp.Compile(`\A(?:` + b.CandidatePattern + `)\z`); err != nil {
			log.Error("a ballot's pattern of candidates does not parse; it takes none", "ballot", b.Name, "error", err)
			r.listed = map[string]bool{}
		}
	}
	return r
}

// allows says whether the ballot takes a candidate's name.
func (r *rules) allows(name string) bool {
	if r.listed != nil {
		return r.listed[name]
	}
	return IsName(name) && (r.pattern == nil || r.pattern.MatchString(name))
}

// maxNames is how many names an open list may grow to; 0: nobody counts them. Where the limit is per candidate each voter's
// votes are bounded, and so is the list.
func (r *rules) maxNames() int64 {
	if r.Candidates != nil || r.PerCandidate {
		return 0
	}
	return r.MaxCandidates
}

// Ballots is the directory of ballots, refreshed from Postgres.
type Ballots struct {
	store Store
	open  func(name string) *ballot
	log   *slog.Logger
	look  lookOut

	mu    sync.RWMutex
	names map[string]*ballot
	read  bool // at least once
}

func newBallots(store Store, open func(name string) *ballot, log *slog.Logger) *Ballots {
	d := &Ballots{store: store, open: open, log: log, names: map[string]*ballot{}}
	d.look.asked = loader.New(lookConfig, d.readNamed)
	return d
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
	if !d.read {
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

// put takes rules in, unless newer ones are known.
func (d *Ballots) put(list ...pgledger.Ballot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, row := range list {
		b := d.names[row.Name]
		if b == nil {
			b = d.open(row.Name)
			b.now.Store(newRules(row, d.log))
			d.names[row.Name] = b
		} else if b.now.Load().RulesVersion < row.RulesVersion {
			b.now.Store(newRules(row, d.log))
		}
	}
}

// refresh reads all ballots.
func (d *Ballots) refresh(ctx context.Context) error {
	list, err := d.store.Ballots(ctx)
	if err != nil {
		return fmt.Errorf("ballots: %w", err)
	}
	d.put(list...)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.read = true
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
