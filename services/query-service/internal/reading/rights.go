package reading

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"go.opentelemetry.io/otel/trace"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/groupcommit"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/tracing"
)

// rights finds out who has a vote that counts, once for all who ask about the same voter at the same moment.
type rights struct {
	reader *Reader
	asked  *groupcommit.Batcher[*right]
}

// right is somebody who waits to know whether a voter has voted.
type right struct {
	shelf *shelf
	span  trace.Span // of the call that asks
	voter string
	done  chan hasVoted
}

type hasVoted struct {
	voted bool
	err   error
}

const (
	rightsWorkers, rightsBatch = 2, 256
	// rightsAtOnce bounds the look-ups of one batch that are on their way at once.
	rightsAtOnce = 16
)

func newRights(reader *Reader, queue int) *rights {
	r := &rights{reader: reader}
	r.asked = groupcommit.New(groupcommit.Config{Workers: rightsWorkers, MaxBatch: rightsBatch, MaxQueue: queue}, r.look)
	return r
}

// voted says whether a voter has a vote in a ballot that counts. It joins only a look-up that has not begun, so it sees every
// vote that was acknowledged before.
func (r *rights) voted(ctx context.Context, b *shelf, voter string) (bool, error) {
	asked := &right{shelf: b, span: trace.SpanFromContext(ctx), voter: voter, done: make(chan hasVoted, 1)}
	if err := r.asked.Put(asked); err != nil {
		return false, err
	}
	select {
	case found := <-asked.done:
		return found.voted, found.err
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

func (r *rights) look(ctx context.Context, batch []*right) {
	ctx, span := tracing.Batch(ctx, "look up voters", "voters", batch, func(r *right) trace.Span { return r.span })
	defer span.End()
	type key struct {
		shelf *shelf
		voter string
	}
	waiting := map[key][]*right{}
	for _, one := range batch {
		k := key{one.shelf, one.voter}
		waiting[k] = append(waiting[k], one)
	}
	var wait sync.WaitGroup
	slots := make(chan struct{}, rightsAtOnce)
	for k, all := range waiting {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			voted, err := r.reader.hasVoted(ctx, k.shelf.rules.Load(), k.voter)
			for _, one := range all {
				one.done <- hasVoted{voted, err}
			}
		})
	}
	wait.Wait()
}

// hasVoted says whether a voter has any vote that counts.
func (r *Reader) hasVoted(ctx context.Context, b *rules, voter string) (bool, error) {
	voted, err := r.voted(ctx, b.Name, voter, everything(b), func(ctx context.Context, _ []string) ([]bool, error) {
		has, err := pgledger.HasVote(ctx, r.Primary, b.Name, voter)
		return []bool{has}, err
	})
	if err != nil {
		return false, err
	}
	for _, one := range voted {
		if one {
			return true, nil
		}
	}
	return false, nil
}

// everything is the candidates that are asked about to learn of any vote: none where Redis counts the votes of the ballot
// as a whole. Where it counts them by candidate, an open list can't be asked about, and Postgres is.
func everything(b *rules) []string {
	if b.PerCandidate {
		return b.Candidates
	}
	return nil
}

// errVotedUnknown says that the store which decides votes can't be asked now.
var errVotedUnknown = errors.New("the votes of voters can't be looked up now")

// voted says for each candidate, or once for all without any, whether a voter has a vote that counts: from Redis, and where
// that does not know from Postgres, which look asks. It sees every vote that was acknowledged before.
func (r *Reader) voted(
	ctx context.Context, ballot, voter string, candidates []string, look func(ctx context.Context, candidates []string) ([]bool, error),
) ([]bool, error) {
	ledger, open := r.epochs.Current()
	if !open {
		return nil, errVotedUnknown
	}
	if ledger.Mode == epoch.Postgres {
		return r.votedThere(ctx, ledger, candidates, look)
	}
	if r.epochs.RedisAway() {
		return nil, errAway
	}
	known, err := r.Redis.Voted(ctx, ledger.Fence(), ballot, voter, candidates)
	if errors.Is(err, redisledger.ErrWrongEpoch) {
		r.epochs.Suspect()
	}
	if err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	if !r.epochs.Live(ledger) {
		return nil, errNotOpen
	}
	return r.fill(ctx, known, candidates, look)
}

// votedThere asks Postgres while it decides votes; the epoch's row says afterwards that it did.
func (r *Reader) votedThere(
	ctx context.Context, ledger epoch.Ledger, candidates []string, look func(ctx context.Context, candidates []string) ([]bool, error),
) ([]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	voted, err := look(ctx, candidates)
	if err != nil {
		return nil, err
	}
	row, err := pgledger.CurrentEpoch(ctx, r.Primary)
	if err != nil {
		return nil, err
	}
	if row.Number != ledger.Epoch || !decides(row) {
		r.epochs.Suspect()
		return nil, errVotedUnknown
	}
	return voted, nil
}

// fill asks Postgres about what Redis does not know. Everything from before the epoch is there, and what came in it Redis
// has kept until it was there too.
func (r *Reader) fill(
	ctx context.Context, known []redisledger.Voted, candidates []string, look func(ctx context.Context, candidates []string) ([]bool, error),
) ([]bool, error) {
	voted := make([]bool, len(known))
	var missing []int
	var names []string
	for i, k := range known {
		voted[i] = k.Known && k.Voted
		if k.Known {
			continue
		}
		missing = append(missing, i)
		if len(candidates) > 0 {
			names = append(names, candidates[i])
		}
	}
	if len(missing) == 0 {
		return voted, nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	found, err := look(ctx, names)
	if err != nil {
		return nil, err
	}
	for i, at := range missing {
		voted[at] = found[min(i, len(found)-1)]
	}
	return voted, nil
}
