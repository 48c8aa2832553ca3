package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/littlevote/littlevote/tools/bench/internal/report"
	"github.com/littlevote/littlevote/tools/bench/internal/verify"
	"github.com/littlevote/littlevote/tools/bench/internal/wire"
)

// errCounts says that the counts are wrong.
var errCounts = errors.New("the counts are wrong")

// place is somewhere that counts, and how it stood before the benchmark.
type place struct {
	name     string
	source   verify.Source
	before   verify.Counts
	patience verify.Patience
}

// auditor holds the counts against what the voters were told.
type auditor struct {
	account  *verify.Account
	answers  *verify.Answers
	postgres *verify.Postgres // nil without a URL
	places   []place
}

// newAuditor reads how things stand. It is an error if the system and Postgres differ before the benchmark has begun.
func newAuditor(ctx context.Context, target wire.Target, s settings) (*auditor, error) {
	a := &auditor{account: verify.NewAccount(s.names), answers: verify.NewAnswers(target, answerTimeout)}
	if err := a.begin(ctx, s.postgresURL, s.countsWithin); err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

func (a *auditor) begin(ctx context.Context, postgresURL string, within time.Duration) error {
	quick := verify.Patience{Timeout: within, Poll: within / 100, Settled: within / 20}
	if err := a.add(ctx, "getAllUserVotes", a.answers, quick); err != nil {
		return fmt.Errorf("no system to measure (start it with `littlevote up --ticket-cap none`, or let --up do that): %w", err)
	}
	if postgresURL == "" {
		return nil
	}
	var err error
	if a.postgres, err = verify.OpenPostgres(ctx, postgresURL); err != nil {
		return err
	}
	nobodyVoted := verify.NewAccount(1)
	if _, err := verify.Await(ctx, a.postgres.Tallies(), a.places[0].before, nobodyVoted, quick); err != nil {
		return fmt.Errorf("%w before the run already, user_votes against getAllUserVotes: %w", errCounts, err)
	}
	// The ledger takes longer to add up, so it is asked less often.
	slow := verify.Patience{Timeout: within, Poll: within / 20, Settled: within / 10}
	return errors.Join(
		a.add(ctx, "user_votes", a.postgres.Tallies(), quick),
		a.add(ctx, "vote_logs", a.postgres.Ledger(), slow),
	)
}

func (a *auditor) add(ctx context.Context, name string, source verify.Source, patience verify.Patience) error {
	before, err := source.Counts(ctx)
	if err != nil {
		return err
	}
	a.places = append(a.places, place{name, source, before, patience})
	return nil
}

func (a *auditor) close() {
	a.answers.Close()
	if a.postgres != nil {
		a.postgres.Close()
	}
}

// watch measures the persister's lag while f runs; nil without Postgres.
func (a *auditor) watch(ctx context.Context, f func()) (*float64, error) {
	if a.postgres == nil {
		f()
		return nil, nil
	}
	// What the account knows is cumulative, and so is what Postgres has grown by.
	base := a.places[1].before.Total()
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	var highest time.Duration
	var err error
	watching.Go(func() {
		highest, err = verify.Watch(ctx, a.account, func(ctx context.Context) (int64, error) {
			total, err := a.postgres.Total(ctx)
			return total - base, err
		})
	})
	f()
	cancel()
	watching.Wait()
	seconds := highest.Seconds()
	return &seconds, err
}

// audit asks every place at once.
func (a *auditor) audit(ctx context.Context) *report.Verification {
	v := &report.Verification{
		Acknowledged: a.account.Acknowledged(),
		Unknown:      a.account.Unknown(),
		Checks:       make([]report.Check, len(a.places)),
	}
	var asking sync.WaitGroup
	for i, p := range a.places {
		asking.Go(func() {
			took, err := verify.Await(ctx, p.source, p.before, a.account, p.patience)
			v.Checks[i] = report.Check{Source: p.name, Agreed: err == nil, AfterSeconds: took.Seconds()}
			if err != nil {
				v.Checks[i].Problem = err.Error()
			}
		})
	}
	asking.Wait()
	return v
}

func agreed(v *report.Verification) bool {
	for _, check := range v.Checks {
		if !check.Agreed {
			return false
		}
	}
	return true
}
