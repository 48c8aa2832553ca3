package voting

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/groupcommit"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/ticket"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
	"github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1/votev1connect"
)

// Config bounds the engine.
type Config struct {
	Instance       string        // who claims batches
	Workers        int           // batches in flight per ballot
	BatchVotes     int           // votes per batch
	BatchBytes     int           // bytes per batch
	Queue          int           // votes that wait, per ballot
	Outbox         int           // batches that are admitted and not settled, per ballot, over all instances
	OutboxLease    time.Duration // how long a batch is its owner's alone
	ProduceTimeout time.Duration
	Timeout        time.Duration // how long the slow ways may take before the answer is unknown
	Refresh        time.Duration // how often ballots and outbox are looked at
}

// Engine decides votes.
type Engine struct {
	votev1connect.UnimplementedVoteServiceHandler

	cfg     Config
	ledger  *redisledger.Ledger
	epochs  *epoch.Participant
	log     *Log
	pool    *pgxpool.Pool
	keys    *ticket.Keys
	logger  *slog.Logger
	ballots *Ballots

	lane     atomic.Uint32
	workers  sync.WaitGroup // take from the queues
	slow     sync.WaitGroup // the ways off the common path
	ctx      context.Context
	cancel   context.CancelFunc
	mu       sync.Mutex
	inFlight map[uuid.UUID]*batch
	driving  map[uuid.UUID]chan struct{} // other instances' batches that this one is finishing
}

// NewEngine returns an engine that takes votes in once Start has read the ballots.
func NewEngine(
	cfg Config, ledger *redisledger.Ledger, epochs *epoch.Participant, log *Log, pool *pgxpool.Pool, keys *ticket.Keys,
	logger *slog.Logger,
) *Engine {
	ctx, cancel := context.WithCancel(context.Background())
	e := &Engine{
		cfg:      cfg,
		ledger:   ledger,
		epochs:   epochs,
		log:      log,
		pool:     pool,
		keys:     keys,
		logger:   logger,
		ctx:      ctx,
		cancel:   cancel,
		inFlight: map[uuid.UUID]*batch{},
		driving:  map[uuid.UUID]chan struct{}{},
	}
	e.ballots = newBallots(pool, e.openBallot, logger)
	return e
}

// openBallot starts the workers of a ballot.
func (e *Engine) openBallot(rules pgledger.Ballot) *ballot {
	weight := func(j *job) int { return j.weight() }
	b := &ballot{
		rules: rules,
		queue: groupcommit.NewQueue(e.cfg.Queue, e.cfg.BatchVotes, e.cfg.BatchBytes, weight),
	}
	for range e.cfg.Workers {
		e.workers.Go(func() { e.work(b) })
	}
	return b
}

// Run looks after ballots and outboxes until ctx ends. It does not stop the taking of votes: Close does.
func (e *Engine) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { e.ballots.run(ctx, e.cfg.Refresh) })
	wg.Go(func() { e.recover(ctx) })
	wg.Wait()
	return nil
}

// Ready is a health check: nil once the ballots are known.
func (e *Engine) Ready(context.Context) error {
	if len(e.ballots.all()) == 0 {
		return errors.New("the ballots are not read yet")
	}
	return nil
}

// Close takes no more votes, finishes what it has taken, and gives up the rest as unknown when ctx ends.
func (e *Engine) Close(ctx context.Context) {
	for _, b := range e.ballots.all() {
		b.queue.Close()
	}
	stop := context.AfterFunc(ctx, e.cancel)
	defer stop()
	e.workers.Wait()
	e.slow.Wait()
	e.cancel()
}

// cast decides the votes of one call; verdicts stand in their order. It returns when all are decided or ctx ends.
func (e *Engine) cast(ctx context.Context, votes []*votev1.Vote) ([]*votev1.Verdict, error) {
	verdicts := make([]*votev1.Verdict, len(votes))
	space := make([]votev1.Verdict, len(votes))
	jobs := make([]job, len(votes))
	c := newCall(len(votes))
	for i, req := range votes {
		verdicts[i] = &space[i]
		v, refused := validate(req, e.ballots, e.keys)
		j := &jobs[i]
		*j = job{vote: v, verdict: verdicts[i], call: c}
		if refused != nil {
			j.refuse(*refused, time.Now())
			continue
		}
		e.enqueue(j)
	}
	select {
	case <-c.done:
		return verdicts, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (e *Engine) enqueue(j *job) {
	switch err := j.ballot.queue.Put(j); {
	case errors.Is(err, groupcommit.ErrFull):
		j.refuse(refusedFull, time.Now())
	case err != nil:
		j.refuse(refusedAway, time.Now())
	}
}

// work is one worker of a ballot. Its last batch, durable and not yet settled, rides with the next one's admission.
func (e *Engine) work(b *ballot) {
	var last *batch
	for {
		var jobs []*job
		if last != nil {
			jobs = b.queue.TryTake()
		} else if jobs = b.queue.Take(context.Background()); jobs == nil {
			return
		}
		last = e.step(last, e.gather(b, jobs))
	}
}

// gather makes a batch of jobs; nil if there are none, or no ledger to put them in.
func (e *Engine) gather(b *ballot, jobs []*job) *batch {
	if len(jobs) == 0 {
		return nil
	}
	fence, ok := e.epochs.Current()
	if !ok {
		for _, j := range jobs {
			j.refuse(refusedAway, time.Now())
		}
		return nil
	}
	jobs = e.distinct(jobs)
	n, err := newBatch(b, fence, e.lane.Add(1), jobs)
	if err != nil {
		e.logger.ErrorContext(e.ctx, "a batch could not be made", "error", err)
		for _, j := range jobs {
			j.refuse(refusedAway, time.Now())
		}
		return nil
	}
	return n
}

// distinct puts back what has the same key as an earlier job: its answer depends on that one.
func (e *Engine) distinct(jobs []*job) []*job {
	var seen map[uuid.UUID]bool
	out := jobs[:0:len(jobs)]
	for _, j := range jobs {
		if j.keyed {
			if seen == nil {
				seen = make(map[uuid.UUID]bool, len(jobs))
			}
			if seen[j.id] {
				e.enqueue(j)
				continue
			}
			seen[j.id] = true
		}
		out = append(out, j)
	}
	return out
}

// step settles last and admits next in one round trip, and makes next durable. It returns next if that is left to be
// settled.
func (e *Engine) step(last, next *batch) *batch {
	var (
		settle *redisledger.Settlement
		admit  *redisledger.Batch
		fence  redisledger.Fence
	)
	if last != nil {
		settle = last.settlement()
	}
	if next != nil {
		admit, fence = &next.request, next.fence
		e.track(next)
	}
	if settle == nil && admit == nil {
		return nil
	}
	admitted, settled := e.ledger.Admit(e.ctx, fence, admit, e.cfg.Outbox, settle)
	if last != nil {
		e.finish(last, settled)
	}
	if next == nil || !e.decided(next, admitted) {
		return nil
	}
	if !e.makeDurable(next) {
		return nil
	}
	return next
}

// decided takes the admission's reply in and answers what is refused; false means that nothing is left to be done here.
func (e *Engine) decided(n *batch, a redisledger.Admitted) bool {
	switch {
	case a.Err == nil:
		return e.decide(n, a.Verdict)
	case redisledger.NoEffect(a.Err):
		if errors.Is(a.Err, redisledger.ErrWrongEpoch) {
			e.epochs.Suspect()
		}
		r := refusedAway
		if redisledger.OutOfMemory(a.Err) {
			r = refusedFull
		}
		n.refuseAll(r, time.Now())
		e.end(n)
		return false
	}
	e.logger.WarnContext(e.ctx, "an admission got no answer", "batch", n.id, "error", a.Err)
	e.slow.Go(func() { e.findOut(n) })
	return false
}

// findOut asks what became of an admission that got no answer. Only that the batch is known is news; everything else
// leaves the votes unknown, since the first call may still arrive.
func (e *Engine) findOut(n *batch) {
	ctx, cancel := context.WithTimeout(e.ctx, e.cfg.Timeout)
	defer cancel()
	v, ok := e.ledger.Known(ctx, n.fence, n.event.GetBallot(), n.id)
	if !ok {
		n.refuseAll(unknown, time.Now())
		e.end(n)
		return
	}
	if e.decide(n, v) && e.makeDurable(n) {
		e.finish(n, e.ledger.Settle(ctx, n.settlement()))
	}
}

// decide answers the refused votes and reports whether any was accepted.
func (e *Engine) decide(n *batch, v redisledger.Verdict) bool {
	if err := n.decide(v); err != nil {
		e.logger.ErrorContext(e.ctx, "a verdict does not fit its batch", "error", err)
		n.refuseAll(unknown, time.Now())
		e.end(n)
		return false
	}
	e.answerRefused(n)
	if len(n.accepted) == 0 {
		e.end(n)
		return false
	}
	return true
}

func (e *Engine) answerRefused(n *batch) {
	at := 0
	for i, g := range n.verdict.Groups {
		size := int(n.groups[i])
		for _, j := range n.jobs[at+g.Accepted : at+size] {
			j.refuse(refusalFor(g.Code), n.verdict.At)
		}
		at += size
	}
	for i, v := range n.verdict.Entries {
		j := n.jobs[at+i]
		switch v.Code {
		case redisledger.OK:
			for _, name := range n.request.Entries[i].NewNames {
				j.ballot.known.Store(name, struct{}{})
			}
		case redisledger.Same, redisledger.Pending:
			e.slow.Go(func() { e.answerSeen(j, v.Batch) })
		case redisledger.LookUp:
			e.slow.Go(func() { e.lookUp(j) })
		default:
			j.refuse(refusalFor(v.Code), n.verdict.At)
		}
	}
}

func refusalFor(code redisledger.Code) refusal {
	switch code {
	case redisledger.Expired:
		return refusedExpired
	case redisledger.Superseded:
		return refusedSuperseded
	case redisledger.Exhausted:
		return refusedExhausted
	case redisledger.Closed:
		return refusedClosed
	case redisledger.Overloaded:
		return refusedFull
	case redisledger.Names:
		return refusedNames
	case redisledger.Reused:
		return refusedReused
	default:
		return refusedAway
	}
}

// track makes a batch known to retries of its keys in this process.
func (e *Engine) track(n *batch) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.inFlight[n.id] = n
}

// end is called once per tracked batch, when all its votes are answered.
func (e *Engine) end(n *batch) {
	e.mu.Lock()
	delete(e.inFlight, n.id)
	e.mu.Unlock()
	close(n.ended)
}
