package voting

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
)

// told is what this process has seen to in one epoch: by ballot, the version of the rules that the marker has at least.
type told struct {
	ledger epoch.Ledger
	rules  map[string]int64
}

// tend keeps what depends on Postgres in step until ctx ends: the markers of ballots that are new in Redis or have new
// rules, and the format that records may have.
func (e *Engine) tend(ctx context.Context) {
	ticker := time.NewTicker(e.cfg.Refresh)
	defer ticker.Stop()
	var done told
	failing := false
	for {
		if format, err := e.Store.ReadsFormat(ctx); err == nil {
			e.format.Store(format)
		}
		err := e.tendBallots(ctx, &done)
		if err != nil && ctx.Err() == nil && !failing {
			e.Log.WarnContext(ctx, "the ballots in Redis cannot be looked after now; still trying", "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (e *Engine) tendBallots(ctx context.Context, done *told) error {
	ledger, ok := e.Epochs.Current()
	if !ok || ledger.Mode != epoch.Redis {
		return nil
	}
	if done.ledger != ledger {
		*done = told{ledger: ledger, rules: map[string]int64{}}
	}
	var due []*rules
	for _, b := range e.ballots.all() {
		if r := b.now.Load(); done.rules[b.name] < r.RulesVersion {
			due = append(due, r)
		}
	}
	return e.tell(ctx, ledger, due, func(r *rules, err error) error {
		if errors.Is(err, redisledger.ErrWrongEpoch) {
			e.Epochs.Suspect()
			return nil // another instance may just be making it
		}
		if err == nil {
			done.rules[r.Name] = r.RulesVersion
			e.ballots.find(r.Name).knownIn.Store(&ledger)
		}
		return err
	})
}

// tell makes the markers of ballots that are new in an epoch in Redis, and brings the others their rules. It calls told for each,
// and stops at its first error.
func (e *Engine) tell(ctx context.Context, ledger epoch.Ledger, due []*rules, told func(r *rules, err error) error) error {
	if len(due) == 0 {
		return nil
	}
	names := make([]string, len(due))
	for i, r := range due {
		names[i] = r.Name
	}
	made, err := e.Store.NameBallots(ctx, ledger.Epoch, names)
	if err != nil {
		return err
	}
	for _, r := range due {
		var err error
		if slices.Contains(made, r.Name) {
			err = e.Redis.LoadNew(ctx, ledger.Fence(), marker(&r.Ballot), func(ctx context.Context) error {
				return e.Store.StillOpen(ctx, ledger.Epoch)
			})
		} else {
			err = e.Redis.PutRules(ctx, ledger.Fence(), marker(&r.Ballot))
		}
		if err := told(r, err); err != nil {
			return err
		}
	}
	return nil
}

// renew reads what Postgres says of a ballot that is not known here, or was a draft; a new one is brought into the ledger
// before anybody votes on it.
func (e *Engine) renew(ctx context.Context, name string) *refusal {
	known := e.ballots.find(name)
	if refused := e.ballots.renew(ctx, name); refused != nil {
		return refused
	}
	b := e.ballots.find(name)
	if b == nil || known != nil || e.introduce(ctx, b) {
		return nil
	}
	return &refusedAway
}

// introduceTimeout bounds how long a vote waits for its ballot's marker.
const introduceTimeout = 500 * time.Millisecond

// introduce sees to it that the open epoch knows a ballot.
func (e *Engine) introduce(ctx context.Context, b *ballot) bool {
	ctx, cancel := context.WithTimeout(ctx, introduceTimeout)
	defer cancel()
	for {
		ledger, ok := e.Epochs.Current()
		if ok && ledger.Mode == epoch.Postgres {
			return true // whoever casts the first vote there makes what it needs
		}
		if ok && e.tell(ctx, ledger, []*rules{b.now.Load()}, func(_ *rules, err error) error { return err }) == nil {
			b.knownIn.Store(&ledger)
			return true
		}
		// Another instance may just be making its marker.
		if !pause(ctx, 20*time.Millisecond) {
			return false
		}
	}
}

// introduceAgain lets votes be decided that met a Redis which does not know their ballot, if it only is new there.
func (e *Engine) introduceAgain(n *batch) {
	known := e.introduce(e.ctx, n.ballot)
	if !known {
		e.Epochs.Suspect()
	}
	for _, j := range n.jobs {
		if known && !j.introduced {
			j.introduced = true
			e.enqueue(j)
			continue
		}
		j.refuse(refusedAway, time.Now())
	}
	e.end(n)
}

// marker is what Redis needs to know of a ballot.
func marker(b *pgledger.Ballot) redisledger.Ballot {
	m := redisledger.Ballot{
		Name: b.Name, State: b.State, VotesPerVoter: int64(b.VotesPerVoter), VoterPeriod: b.VoterPeriod,
		PerCandidate: b.PerCandidate, Ticketless: b.Ticketless, HotFor: b.HotFor, Rules: b.RulesVersion,
	}
	if b.OpensAt != nil {
		m.OpensAt = *b.OpensAt
	}
	if b.ClosesAt != nil {
		m.ClosesAt = *b.ClosesAt
	}
	return m
}
