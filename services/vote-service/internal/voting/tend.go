package voting

import (
	"context"
	"errors"
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
	var due []pgledger.Ballot
	var names []string
	for _, b := range e.ballots.current() {
		if done.rules[b.Name] < b.RulesVersion {
			due, names = append(due, b), append(names, b.Name)
		}
	}
	if len(due) == 0 {
		return nil
	}
	made, err := e.Store.NameBallots(ctx, ledger.Epoch, names)
	if err != nil {
		return err
	}
	isNew := make(map[string]bool, len(made))
	for _, name := range made {
		isNew[name] = true
	}
	for _, b := range due {
		var err error
		if isNew[b.Name] {
			err = e.Redis.LoadNew(ctx, ledger.Fence(), marker(b), func(ctx context.Context) error {
				return e.Store.StillOpen(ctx, ledger.Epoch)
			})
		} else {
			err = e.Redis.PutRules(ctx, ledger.Fence(), marker(b))
		}
		if err != nil {
			if errors.Is(err, redisledger.ErrWrongEpoch) {
				e.Epochs.Suspect()
				continue // another instance may just be making it
			}
			return err
		}
		done.rules[b.Name] = b.RulesVersion
	}
	return nil
}

// marker is what Redis needs to know of a ballot.
func marker(b pgledger.Ballot) redisledger.Ballot {
	m := redisledger.Ballot{Name: b.Name, State: b.State, VotesPerVoter: int64(b.VotesPerVoter), Rules: b.RulesVersion}
	if b.OpensAt != nil {
		m.OpensAt = *b.OpensAt
	}
	if b.ClosesAt != nil {
		m.ClosesAt = *b.ClosesAt
	}
	return m
}
