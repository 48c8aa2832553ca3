package voting

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// maxLookUpLag is how far Postgres may be behind, and how old the oldest batch in the outbox may be, for "Postgres does
// not know the key" to mean anything: Redis remembers every key for longer than both together.
const maxLookUpLag = time.Minute

// answerSeen answers a vote whose key was admitted before: as that batch ends, so the vote ends.
func (e *Engine) answerSeen(j *job, id uuid.UUID) {
	ctx, cancel := context.WithTimeout(e.ctx, e.cfg.Timeout)
	defer cancel()
	fence, ok := e.epochs.Current()
	if !ok || e.settled(ctx, j.ballot, fence, id) != nil {
		j.refuse(unknown, time.Now())
		return
	}
	e.answerCounts(ctx, j, fence)
}

// answerCounts answers a vote that counts since an earlier request, with the counts of now.
func (e *Engine) answerCounts(ctx context.Context, j *job, fence redisledger.Fence) {
	names := make([]string, len(j.choices))
	for i, c := range j.choices {
		names[i] = c.GetCandidate()
	}
	counts, at, err := e.ledger.Tally(ctx, fence, j.ballot.rules.Name, names)
	if err != nil || !e.epochs.Live(fence) {
		j.refuse(unknown, time.Now())
		return
	}
	totals := make([]*votev1.Total, len(counts))
	for i, c := range counts {
		totals[i] = &votev1.Total{Candidate: c.Name, Votes: c.Votes}
	}
	j.succeed(token(fence.Epoch, 0), totals, 0, at)
}

// settled waits until a batch is settled, or drives it itself if it is nobody's in this process.
func (e *Engine) settled(ctx context.Context, b *ballot, fence redisledger.Fence, id uuid.UUID) error {
	e.mu.Lock()
	own := e.inFlight[id]
	other := e.driving[id]
	first := own == nil && other == nil
	if first {
		other = make(chan struct{})
		e.driving[id] = other
	}
	e.mu.Unlock()
	if first {
		defer func() {
			e.mu.Lock()
			delete(e.driving, id)
			e.mu.Unlock()
			close(other)
		}()
		return e.drive(ctx, b, fence, id)
	}
	wait := other
	if own != nil {
		wait = own.ended
	}
	select {
	case <-wait:
		// Ended is not settled: ask, and drive what was left.
		return e.drive(ctx, b, fence, id)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lookUp asks Postgres for a key that Redis can't judge, and lets the vote try again if Postgres does not know it.
func (e *Engine) lookUp(j *job) {
	ctx, cancel := context.WithTimeout(e.ctx, e.cfg.Timeout)
	defer cancel()
	found, err := e.find(ctx, j)
	switch {
	case errors.Is(err, errLag): // the persister tells of its lag, once and not for every vote
		j.refuse(unknown, time.Now())
	case err != nil:
		e.logger.WarnContext(ctx, "a key could not be looked up", "ballot", j.ballot.rules.Name, "error", err)
		j.refuse(unknown, time.Now())
	case found == nil:
		j.lookedUp = true
		e.enqueue(j)
	case found.BodyHash != j.bodyHash:
		j.refuse(refusedReused, time.Now())
	default:
		e.answerApplied(ctx, j, found.BatchID)
	}
}

// errLag says that "not found" proves nothing now.
var errLag = errors.New("the ledger in Postgres is too far behind")

func (e *Engine) find(ctx context.Context, j *job) (*pgledger.Key, error) {
	fence, ok := e.epochs.Current()
	if !ok {
		return nil, redisledger.ErrWrongEpoch
	}
	_, oldest, err := e.ledger.Due(ctx, fence, j.ballot.rules.Name, maxLookUpLag, 1)
	if err != nil {
		return nil, err
	}
	keys, err := pgledger.Lookup(ctx, e.pool, j.ballot.rules.Name, []uuid.UUID{j.id})
	if err != nil {
		return nil, err
	}
	if key, ok := keys.Found[j.id]; ok {
		return &key, nil
	}
	if keys.Lag >= maxLookUpLag || oldest >= maxLookUpLag {
		return nil, errLag
	}
	return nil, nil //nolint:nilnil // not found is an answer
}

// answerApplied answers a vote that Postgres knows. It counts; if its batch still stands in the outbox it is settled
// first, so that a read shows it.
func (e *Engine) answerApplied(ctx context.Context, j *job, id uuid.UUID) {
	fence, ok := e.epochs.Current()
	if !ok {
		j.refuse(unknown, time.Now())
		return
	}
	claimed, _, err := e.ledger.Claim(ctx, fence, j.ballot.rules.Name, id, e.cfg.Instance)
	if err != nil {
		j.refuse(unknown, time.Now())
		return
	}
	if claimed != nil {
		e.answerSeen(j, id)
		return
	}
	e.answerCounts(ctx, j, fence)
}
