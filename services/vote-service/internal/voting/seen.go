package voting

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/faultpoint"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// maxLookUpLag is how far Postgres may be behind, and how old the oldest batch in the outbox may be, for "Postgres does
// not know the key" to mean anything: Redis remembers every key for longer than both together.
const maxLookUpLag = time.Minute

// lookUpHolds is for how long what Postgres said of a key may be used: Redis remembers for longer what was admitted since.
const lookUpHolds = time.Minute

// answerSeen answers a vote whose key was admitted before: as that batch ends, so the vote ends.
func (e *Engine) answerSeen(j *job, id uuid.UUID) {
	ctx, cancel := context.WithTimeout(j.in(e.ctx), e.cfg.Timeout)
	defer cancel()
	ledger, ok := e.Epochs.Current()
	if ok && ledger.Mode == epoch.Postgres {
		e.enqueue(j) // the batch's epoch is over, and Postgres knows what became of it
		return
	}
	if !ok || !faultpoint.Mutant("pending-is-same") && e.settled(ctx, j.ballot, ledger, id) != nil {
		j.refuse(unknown, time.Now())
		return
	}
	e.answerCounts(ctx, j, ledger, id)
}

// awaitTurn lets a vote try again once the batch that it depends on is settled.
func (e *Engine) awaitTurn(j *job, id uuid.UUID) {
	ctx, cancel := context.WithTimeout(j.in(e.ctx), e.cfg.Timeout)
	defer cancel()
	ledger, ok := e.Epochs.Current()
	if !ok || ledger.Mode == epoch.Redis && e.settled(ctx, j.ballot, ledger, id) != nil {
		j.refuse(refusedAway, time.Now())
		return
	}
	e.enqueue(j)
}

// lookUpVoters asks Postgres for the votes of voters whom Redis does not know in this epoch, and lets the jobs try again.
func (e *Engine) lookUpVoters(b *ballot, jobs []*job) {
	ctx, cancel := context.WithTimeout(e.ctx, e.cfg.Timeout)
	defer cancel()
	ledger, ok := e.Epochs.Current() // before Postgres is asked
	asked, keys := time.Now(), make([]pgledger.VoterKey, len(jobs))
	for i, j := range jobs {
		keys[i] = j.voterKey()
	}
	found, err := e.Store.VotersOf(ctx, &b.now.Load().Ballot, keys)
	if err != nil {
		e.Log.WarnContext(ctx, "voters could not be looked up", "ballot", b.name, "error", err)
	}
	for i, j := range jobs {
		if err != nil || !ok {
			j.refuse(refusedAway, time.Now())
			continue
		}
		j.votesIn, j.votesAt = ledger, asked
		j.votes = append(make([]uuid.UUID, 0, len(found[keys[i]])), found[keys[i]]...) // never nil: that means not looked up
		e.enqueue(j)
	}
}

// voterKey is what is looked up of the job's voter.
func (j *job) voterKey() pgledger.VoterKey {
	key := pgledger.VoterKey{Voter: j.voter, Period: j.votesPeriod}
	if j.rules.PerCandidate {
		key.Candidate = j.candidate()
	}
	return key
}

// answerCounts answers a vote that counts since an earlier request, with the counts of now.
func (e *Engine) answerCounts(ctx context.Context, j *job, ledger epoch.Ledger, id uuid.UUID) {
	names := make([]string, len(j.choices))
	for i, c := range j.choices {
		names[i] = c.GetCandidate()
	}
	counts, at, err := e.Redis.Tally(ctx, ledger.Fence(), j.ballot.name, names)
	if err != nil || !e.Epochs.Live(ledger) {
		j.refuse(unknown, time.Now())
		return
	}
	totals := make([]*votev1.Total, len(counts))
	for i, c := range counts {
		totals[i] = &votev1.Total{Candidate: c.Name, Votes: c.Votes}
	}
	j.same = true
	j.succeed(token(ledger.Epoch, 1, id), totals, 0, at)
}

// settled waits until a batch is settled, or drives it itself if it is nobody's in this process.
func (e *Engine) settled(ctx context.Context, b *ballot, ledger epoch.Ledger, id uuid.UUID) error {
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
		return e.drive(ctx, b, ledger, id)
	}
	wait := other
	if own != nil {
		wait = own.ended
	}
	select {
	case <-wait:
		// Ended is not settled: ask, and drive what was left.
		return e.drive(ctx, b, ledger, id)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lookUp asks Postgres for a key that Redis can't judge, and lets the vote try again if Postgres does not know it.
func (e *Engine) lookUp(j *job) {
	ctx, cancel := context.WithTimeout(j.in(e.ctx), e.cfg.Timeout)
	defer cancel()
	asked := time.Now()
	ledger, found, err := e.find(ctx, j)
	switch {
	case errors.Is(err, errLag): // the persister tells of its lag, once and not for every vote
		j.refuse(unknown, time.Now())
	case err != nil:
		e.Log.WarnContext(ctx, "a key could not be looked up", "ballot", j.ballot.name, "error", err)
		j.refuse(unknown, time.Now())
	case found == nil:
		j.freeIn, j.freeAt = ledger, asked
		e.enqueue(j)
	case found.BodyHash != j.bodyHash:
		j.refuse(refusedReused, time.Now())
	default:
		e.answerApplied(ctx, j, found.BatchID)
	}
}

// errLag says that "not found" proves nothing now.
var errLag = errors.New("the ledger in Postgres is too far behind")

// find looks the job's key up; nil if it is free in the ledger that was open before Postgres was asked.
func (e *Engine) find(ctx context.Context, j *job) (epoch.Ledger, *pgledger.Key, error) {
	ledger, ok := e.Epochs.Current()
	if !ok {
		return ledger, nil, redisledger.ErrWrongEpoch
	}
	if ledger.Mode == epoch.Postgres {
		return ledger, nil, nil // Postgres looks for itself
	}
	_, oldest, err := e.Redis.Due(ctx, ledger.Fence(), j.ballot.name, maxLookUpLag, 1)
	if err != nil {
		return ledger, nil, err
	}
	keys, err := e.Store.Lookup(ctx, j.ballot.name, []uuid.UUID{j.id})
	if err != nil {
		return ledger, nil, err
	}
	if key, ok := keys.Found[j.id]; ok {
		return ledger, &key, nil
	}
	if (keys.Lag >= maxLookUpLag || oldest >= maxLookUpLag) && !faultpoint.Mutant("look-up-ignores-lag") {
		return ledger, nil, errLag
	}
	return ledger, nil, nil
}

// answerApplied answers a vote that Postgres knows. It counts; if its batch still stands in the outbox it is settled
// first, so that a read shows it.
func (e *Engine) answerApplied(ctx context.Context, j *job, id uuid.UUID) {
	ledger, ok := e.Epochs.Current()
	if !ok {
		j.refuse(unknown, time.Now())
		return
	}
	if ledger.Mode == epoch.Postgres {
		e.answerInPostgres(j, id)
		return
	}
	claimed, _, err := e.Redis.Claim(ctx, ledger.Fence(), j.ballot.name, id, e.cfg.Instance)
	if err != nil {
		j.refuse(unknown, time.Now())
		return
	}
	if claimed != nil {
		e.answerSeen(j, id)
		return
	}
	e.answerCounts(ctx, j, ledger, id)
}
