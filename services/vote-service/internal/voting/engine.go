package voting

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/faultpoint"
	"github.com/littlevote/littlevote/libs/groupcommit"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/ticket"
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
	OutboxAge      time.Duration // an entry that is older ends the epoch: what keeps it once may be forgotten
}

// Parts are what an engine works with.
type Parts struct {
	Redis    Redis
	Epochs   Epochs
	Topic    Topic
	Store    Store
	Keys     *ticket.Keys
	EndEpoch func(ctx context.Context, reason string) error // see epoch.Changer
	Log      *slog.Logger
	Tracer   trace.Tracer // nil: no traces
}

// Engine decides votes.
type Engine struct {
	Parts

	cfg     Config
	ballots *Ballots
	format  atomic.Int32 // of records, the latest that every live persister reads

	lane      atomic.Uint32
	durable   [len(ways)]atomic.Int64
	metrics   metrics
	forgotten atomic.Int64   // states of voters
	workers   sync.WaitGroup // take from the queues
	slow      sync.WaitGroup // the ways off the common path
	ctx       context.Context
	cancel    context.CancelFunc
	mu        sync.Mutex
	inFlight  map[uuid.UUID]*batch
	driving   map[uuid.UUID]chan struct{} // other instances' batches that this one is finishing
}

// NewEngine returns an engine that takes votes in once Run has read the ballots.
func NewEngine(cfg Config, parts Parts) *Engine {
	ctx, cancel := context.WithCancel(context.Background())
	e := &Engine{
		Parts:    parts,
		cfg:      cfg,
		ctx:      ctx,
		cancel:   cancel,
		inFlight: map[uuid.UUID]*batch{},
		driving:  map[uuid.UUID]chan struct{}{},
	}
	e.ballots = newBallots(parts.Store, e.openBallot, parts.Log)
	return e
}

// openBallot starts the workers of a ballot.
func (e *Engine) openBallot(name string) *ballot {
	weight := func(j *job) int { return j.weight() }
	b := &ballot{
		name:        name,
		queue:       groupcommit.NewQueue(e.cfg.Queue, e.cfg.BatchVotes, e.cfg.BatchBytes, weight),
		retractions: groupcommit.NewQueue(e.cfg.Queue, e.cfg.BatchVotes, e.cfg.BatchBytes, weight),
	}
	for range e.cfg.Workers {
		e.workers.Go(func() { e.work(b, b.queue) })
	}
	e.workers.Go(func() { e.work(b, b.retractions) })
	return b
}

// Run looks after ballots and outboxes until ctx ends. It does not stop the taking of votes: Close does.
func (e *Engine) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { e.ballots.run(ctx, e.cfg.Refresh) })
	wg.Go(func() { e.recover(ctx) })
	wg.Go(func() { e.tend(ctx) })
	wg.Go(func() { e.forget(ctx) })
	wg.Wait()
	return nil
}

// Ready is a health check: nil once the ballots are known, and what records may hold.
func (e *Engine) Ready(context.Context) error {
	switch {
	case e.ballots.missing() != &refusedNoBallot:
		return errors.New("the ballots are not read yet")
	case e.format.Load() == 0:
		return errors.New("what the persisters read is not known yet")
	default:
		return nil
	}
}

// Close takes no more votes, finishes what it has taken, and gives up the rest as unknown when ctx ends.
func (e *Engine) Close(ctx context.Context) {
	for _, b := range e.ballots.all() {
		b.queue.Close()
		b.retractions.Close()
	}
	stop := context.AfterFunc(ctx, e.cancel)
	defer stop()
	e.workers.Wait()
	e.slow.Wait()
	e.ballots.look.asked.Close()
	e.cancel()
}

func (e *Engine) enqueue(j *job) {
	if j.trace != nil {
		j.trace.queued = time.Now()
	}
	queue := j.ballot.queue
	if j.retraction() {
		queue = j.ballot.retractions
	}
	switch err := queue.Put(j); {
	case errors.Is(err, groupcommit.ErrFull):
		j.refuse(refusedFull, time.Now())
	case err != nil:
		j.refuse(refusedAway, time.Now())
	}
}

// work is one worker of a ballot. Its last batch, durable and not yet settled, rides with the next one's admission.
func (e *Engine) work(b *ballot, queue *groupcommit.Queue[*job]) {
	var last *batch
	for {
		var jobs []*job
		if last != nil {
			jobs = queue.TryTake()
		} else if jobs = queue.Take(context.Background()); jobs == nil {
			return
		}
		next := e.gather(b, jobs)
		if next != nil && next.ledger.Mode == epoch.Postgres {
			e.step(last, nil)
			e.cast(next)
			last = nil
			continue
		}
		last = e.step(last, next)
	}
}

// gather makes a batch of jobs; nil if there are none, or no ledger to put them in.
func (e *Engine) gather(b *ballot, jobs []*job) *batch {
	if len(jobs) == 0 {
		return nil
	}
	ledger, ok := e.Epochs.Current()
	if !ok {
		for _, j := range jobs {
			j.refuse(refusedAway, time.Now())
		}
		return nil
	}
	if jobs = e.readable(e.distinct(jobs)); len(jobs) == 0 {
		return nil
	}
	n, err := newBatch(b, ledger, e.lane.Add(1), jobs)
	if err != nil {
		e.Log.ErrorContext(e.ctx, "a batch could not be made", "error", err)
		for _, j := range jobs {
			j.refuse(refusedAway, time.Now())
		}
		return nil
	}
	e.traceBatch(n)
	e.metrics.gathered(n.ctx, n)
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

// readable refuses what some persister that is alive would not understand.
func (e *Engine) readable(jobs []*job) []*job {
	format := e.format.Load()
	if format >= events.Format {
		return jobs
	}
	out := jobs[:0:len(jobs)]
	for _, j := range jobs {
		if format < j.format() {
			j.refuse(refusedAway, time.Now())
			continue
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
		admit, fence = &next.request, next.ledger.Fence()
		e.track(next)
	}
	if settle == nil && admit == nil {
		return nil
	}
	ctx, round := e.beginRound(last, next)
	admitted, settled := e.Redis.Admit(ctx, fence, admit, e.cfg.Outbox, settle)
	round.end(admitted, settled)
	if last != nil {
		e.finish(last, settled)
	}
	if next == nil || !e.decided(next, admitted) {
		return nil
	}
	faultpoint.Hit("vote.admitted")
	if faultpoint.Mutant("ack-before-produce") {
		next.succeed(nil, false)
		e.slow.Go(func() {
			if _, err := e.Topic.Produce(e.ctx, next.record, next.lane); err == nil {
				e.Redis.Settle(e.ctx, next.settlement())
			}
			e.end(next)
		})
		return nil
	}
	if !e.makeDurable(next) {
		return nil
	}
	faultpoint.Hit("vote.produced")
	if faultpoint.Mutant("answer-before-settle") {
		next.succeed(nil, false)
		e.slow.Go(func() { e.Redis.Settle(e.ctx, next.settlement()); e.end(next) })
		return nil
	}
	return next
}

// decided takes the admission's reply in and answers what is refused; false means that nothing is left to be done here.
func (e *Engine) decided(n *batch, a redisledger.Admitted) bool {
	switch {
	case a.Err == nil:
		if !n.ballot.isKnownIn(n.ledger) {
			n.ballot.knownIn.Store(&n.ledger)
		}
		return e.decide(n, a.Verdict)
	case errors.Is(a.Err, redisledger.ErrWrongEpoch) && !n.ballot.isKnownIn(n.ledger):
		e.slow.Go(func() { e.introduceAgain(n) })
		return false
	case redisledger.NoEffect(a.Err):
		e.Epochs.Suspect()
		r := refusedAway
		if redisledger.OutOfMemory(a.Err) {
			r = refusedFull
		}
		n.refuseAll(r, time.Now())
		e.end(n)
		return false
	}
	e.Epochs.Suspect()
	e.Log.WarnContext(n.ctx, "an admission got no answer", "batch", n.id, "error", a.Err)
	e.slow.Go(func() { e.findOut(n) })
	return false
}

// findOut asks what became of an admission that got no answer. Only that the batch is known is news; everything else
// leaves the votes unknown, since the first call may still arrive.
func (e *Engine) findOut(n *batch) {
	ctx, cancel := context.WithTimeout(n.ctx, e.cfg.Timeout)
	defer cancel()
	n.again++
	v, ok := e.Redis.Known(ctx, n.ledger.Fence(), n.event.GetBallot(), n.id)
	if !ok {
		r := unknown
		if faultpoint.Mutant("resend-refused") {
			r = refusedAway
		}
		n.refuseAll(r, time.Now())
		e.end(n)
		return
	}
	if e.decide(n, v) && e.makeDurable(n) {
		e.finish(n, e.settle(ctx, n))
	}
}

// decide answers the refused votes and reports whether any was accepted.
func (e *Engine) decide(n *batch, v redisledger.Verdict) bool {
	if err := n.decide(v); err != nil {
		e.Log.ErrorContext(n.ctx, "a verdict does not fit its batch", "error", err)
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
	n.endTrace()
	close(n.ended)
}
