package system

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/tools/internal/checker"
	"github.com/littlevote/littlevote/tools/internal/scope"
	"github.com/littlevote/littlevote/tools/internal/voter"
)

// told is how many violations a test prints: the first ones say what is wrong.
const told = 10

// Verify waits until the system is at rest and then holds the history against it, by the checker and by `littlevote fsck`.
// It returns what Postgres has.
func (v *View) Verify(t scope.Scope, gateway *voter.Client, history *checker.History) checker.Ledger {
	t.Helper()
	v.AwaitRest(t)
	ledger, err := v.Read(t.Context(), gateway)
	if err != nil {
		t.Fatal(err)
	}
	violations := checker.Check(history.Attempts(), ledger)
	for i, violation := range violations {
		if i == told {
			t.Errorf("… and %d more", len(violations)-told)
			break
		}
		t.Errorf("%s", violation)
	}
	if err := v.Fsck(t.Context()); err != nil {
		t.Errorf("%v", err)
	}
	return ledger
}

// Read reads what Postgres has, what Redis counts and what voters are shown. The system must be at rest.
func (v *View) Read(ctx context.Context, gateway *voter.Client) (checker.Ledger, error) {
	ledger, err := checker.ReadLedger(ctx, v.Pool)
	if err != nil {
		return checker.Ledger{}, err
	}
	epoch, err := pgledger.CurrentEpoch(ctx, v.Pool)
	if err != nil {
		return checker.Ledger{}, err
	}
	ballots := map[string]bool{"main": true}
	for _, row := range ledger.Rows {
		ballots[row.Ballot] = true
	}
	for ballot := range ballots {
		counts, err := fresh(ctx, gateway, ballot)
		if err != nil {
			return checker.Ledger{}, err
		}
		for _, c := range counts {
			ledger.Live = append(ledger.Live, checker.Tally{Ballot: ballot, Username: c.Username, Votes: c.Votes})
		}
		inRedis, _, err := v.Ledger.Tally(ctx, redisledger.Fence{Epoch: epoch.Number, NS: epoch.NS}, ballot, nil)
		if err != nil {
			return checker.Ledger{}, fmt.Errorf("tally of %s in Redis: %w", ballot, err)
		}
		for _, c := range inRedis {
			ledger.Redis = append(ledger.Redis, checker.Tally{Ballot: ballot, Username: c.Name, Votes: c.Votes})
		}
	}
	return ledger, nil
}

// fresh reads counts that do not say that they may be stale: whoever answers reads may learn a moment later than others that
// an epoch is open.
func fresh(ctx context.Context, gateway *voter.Client, ballot string) ([]voter.Count, error) {
	ctx, cancel := context.WithTimeout(ctx, restTimeout)
	defer cancel()
	id := ballot
	if tenant, rest, ok := strings.Cut(ballot, "."); ok {
		gateway, id = gateway.In(tenant), rest
	}
	for {
		counts, err := gateway.GetAllUserVotes(ctx, id)
		stale := slices.ContainsFunc(counts, func(c voter.Count) bool { return c.Stale })
		if err == nil && !stale {
			return counts, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("counts of %s: stale %v, %w", ballot, stale, errors.Join(err, ctx.Err()))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Fsck asks `littlevote fsck`.
func (v *View) Fsck(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(v.programs, "littlevote"), "fsck", "--postgres-url", v.Postgres, "--redis-url", v.Redis,
		"--kafka-brokers", strings.Join(v.Stores.Kafka, ","), "--kafka-topic-prefix", v.TopicPrefix)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("fsck: %w:\n%s", errors.Join(err, ctx.Err()), output)
	}
	return nil
}
