package votes

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/ratelimiter"
	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/littlevote/littlevote/gateway/internal/identity"
	"github.com/littlevote/littlevote/gateway/internal/overload"
	"github.com/littlevote/littlevote/gateway/internal/spans"
	"github.com/littlevote/littlevote/libs/groupcommit"
	"github.com/littlevote/littlevote/libs/tracing"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// Config bounds a Voter.
type Config struct {
	InFlight   int           // calls at once; while they run the next batch gathers
	MaxBatch   int           // votes a call
	MaxQueue   int           // votes that wait; more are refused as OVERLOADED
	MaxWait    time.Duration // how long a vote may have to wait, by the speed of those before it, before it is refused instead
	Timeout    time.Duration // of one call, with the second try of votes that have keys
	Patience   time.Duration // how long a call keeps the next batch from being sent while later ones are answered
	TicketWait time.Duration // how long a vote is tried again that was refused for a moment only
	Retries    uint          // a second, of all votes together
}

const (
	// overloadedRetry is when to come back to a full queue: a few batches later.
	overloadedRetry = 200 * time.Millisecond
	// unavailableRetry is when to come back to a vote-service that is not there: a process restarts in about that time.
	unavailableRetry = time.Second
	// shortestWait and longestWait bound the pause before a vote is tried again.
	shortestWait = 20 * time.Millisecond
	longestWait  = 250 * time.Millisecond
	// tooOld is how many times MaxWait a vote may have waited: its queue has stood still, and it is refused unsent.
	tooOld = 5
)

// Voter gathers votes into calls. It is safe for concurrent use.
type Voter struct {
	cfg     Config
	client  votev1.VoteServiceClient
	batch   *groupcommit.Batcher[*pending]
	gate    *overload.Gate
	budget  ratelimiter.RateLimiter[any]
	metrics *Metrics
	log     *slog.Logger

	closing  atomic.Bool
	base     context.Context //nolint:containedctx // of all calls: none depends on a caller
	cancel   context.CancelFunc
	calls    sync.WaitGroup
	sent     atomic.Int64  // votes in calls
	started  atomic.Int64  // calls, numbered from 1
	finished atomic.Int64  // the highest number of those that ended
	detached chan struct{} // holds one for each call that no batch waits for any more

	retractions chan struct{} // holds one for each that is on its way
}

// maxDetached bounds the calls that take longer than they may keep a batch waiting.
const maxDetached = 64

// New starts a voter; Close ends it.
func New(client votev1.VoteServiceClient, cfg Config, observer overload.Observer, metrics *Metrics, log *slog.Logger) *Voter {
	v := &Voter{
		cfg: cfg, client: client, metrics: metrics, log: log,
		gate:     overload.NewGate(cfg.InFlight*cfg.MaxBatch, cfg.MaxWait, observer, time.Now),
		budget:   ratelimiter.NewBursty[any](cfg.Retries, time.Second),
		detached: make(chan struct{}, maxDetached), retractions: make(chan struct{}, maxRetractions),
	}
	v.base, v.cancel = context.WithCancel(context.Background())
	v.batch = groupcommit.New(groupcommit.Config{
		Workers: cfg.InFlight, MaxBatch: cfg.MaxBatch, MaxQueue: cfg.MaxQueue,
	}, v.run)
	return v
}

// Close refuses new votes, and waits until those taken in have their verdicts; when ctx ends first, the calls in
// flight are cut off.
func (v *Voter) Close(ctx context.Context) {
	v.closing.Store(true)
	stop := context.AfterFunc(ctx, v.cancel)
	defer stop()
	v.batch.Close(ctx)
	v.calls.Wait()
	v.cancel()
}

// Waiting is how many votes wait to be sent.
func (v *Voter) Waiting() int { return v.batch.Len() }

// Vote is one request.
type Vote struct {
	Ballot     string // the full name
	Candidates []string
	Counts     []int32           // what each of them gets, 1 at least; nil: one vote each
	Label      string            // who votes, as they say themselves; recorded, and not checked
	Key        string            // the idempotency key in lower case, or empty
	Ticket     *votev1.TicketRef // nil: whichever ticket is the newest
	Replaces   string            // the id of the voter's vote that it takes the place of, or empty
}

// Cast returns the verdict on a vote. It waits for at most ctx.
//
// What was refused for a moment only is tried again for a while, as far as the budget of all votes allows: while the
// system can't take votes, and, for a vote on the newest ticket, over a rotation. Each of these refusals is definite, so the
// same id may be used again. A ticket whose uses are taken is an answer: the caller may want to know.
func (v *Voter) Cast(ctx context.Context, vote Vote) *votev1.Verdict {
	ctx, span := tracing.Start(ctx, "vote")
	message := toMessage(vote)
	message.Voter = identity.From(ctx).Voter // from nowhere else: no argument says who votes
	if span.IsRecording() {
		message.Traceparent = tracing.Traceparent(ctx)
	}
	end := time.Now().Add(v.cfg.TicketWait)
	for retries := 0; ; retries++ {
		verdict := forNobody(v.once(ctx, message, span), message)
		if !passing(verdict, vote.Ticket == nil) || v.closing.Load() {
			return v.decided(span, verdict, retries)
		}
		wait := min(max(verdict.GetRetryAfter().AsDuration(), shortestWait), longestWait)
		if time.Until(end) < wait || !v.mayRetry(ctx) || !pause(ctx, wait) {
			return v.decided(span, verdict, retries)
		}
	}
}

// decided ends the span of a vote, and counts it if it was refused.
func (v *Voter) decided(span trace.Span, verdict *votev1.Verdict, retries int) *votev1.Verdict {
	v.metrics.decided(verdict.GetCode())
	if span.IsRecording() {
		spans.Decided(span, verdict.GetCode(), verdict.GetOutcome(), retries)
	}
	return verdict
}

// forNobody says of a vote without a voter, where the ballot wants one, what its sender has to do about it: the service knows
// only that the field is empty.
func forNobody(verdict *votev1.Verdict, vote *votev1.Vote) *votev1.Verdict {
	if verdict.GetCode() == statusv1.Code_CODE_INVALID_ARGUMENT && vote.GetVoter() == "" && strings.HasPrefix(verdict.GetDetail(), "voter:") {
		verdict.Code = statusv1.Code_CODE_UNAUTHENTICATED
	}
	return verdict
}

// passing says that a refusal speaks of a moment.
func passing(verdict *votev1.Verdict, newest bool) bool {
	if verdict.GetOutcome() != statusv1.Outcome_OUTCOME_NONE {
		return false
	}
	switch verdict.GetCode() {
	case statusv1.Code_CODE_UNAVAILABLE:
		return true
	case statusv1.Code_CODE_TICKET_EXPIRED, statusv1.Code_CODE_TICKET_SUPERSEDED:
		return newest
	default:
		return false
	}
}

// mayRetry takes one try out of the budget.
func (v *Voter) mayRetry(ctx context.Context) bool {
	allowed := v.budget.TryAcquirePermit()
	v.metrics.retry(ctx, allowed)
	return allowed
}

func toMessage(vote Vote) *votev1.Vote {
	choices := make([]*votev1.Choice, len(vote.Candidates))
	block := make([]votev1.Choice, len(vote.Candidates))
	for i, name := range vote.Candidates {
		block[i].Candidate, block[i].Count = name, 1
		if vote.Counts != nil {
			block[i].Count = int64(vote.Counts[i])
		}
		choices[i] = &block[i]
	}
	message := &votev1.Vote{Ballot: vote.Ballot, IdempotencyKey: vote.Key, VoterLabel: vote.Label, Choices: choices, Replaces: vote.Replaces}
	if vote.Key == "" {
		// A UUIDv7 can only fail where the system has no randomness; the vote-service then makes the id.
		if id, err := uuid.NewV7(); err == nil {
			message.VoteId = id.String()
		}
	}
	if vote.Ticket != nil {
		message.Permit = &votev1.Vote_Ticket{Ticket: vote.Ticket}
	} else {
		message.Permit = &votev1.Vote_NewestTicket{NewestTicket: true}
	}
	return message
}

// pause waits; false if ctx ended first.
func pause(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// pending is a vote on its way.
type pending struct {
	vote    *votev1.Vote
	span    trace.Span
	queued  time.Time
	state   atomic.Int32
	verdict chan *votev1.Verdict // holds one, so that nobody waits for a caller
}

// The states of a pending vote: it waits until a batch takes it or its caller gives up, whichever is first.
const (
	waiting int32 = iota
	taken
	givenUp
)

func (p *pending) answer(verdict *votev1.Verdict) { p.verdict <- verdict }

// once queues a vote and waits for its verdict.
func (v *Voter) once(ctx context.Context, message *votev1.Vote, span trace.Span) *votev1.Verdict {
	if retry, ok := v.gate.Admit(v.batch.Len() + int(v.sent.Load())); !ok {
		return refused(message, statusv1.Code_CODE_OVERLOADED, retry, "the vote would wait too long")
	}
	p := &pending{vote: message, span: span, queued: time.Now(), verdict: make(chan *votev1.Verdict, 1)}
	if err := v.batch.Put(p); errors.Is(err, groupcommit.ErrFull) {
		v.gate.Full()
		return refused(message, statusv1.Code_CODE_OVERLOADED, overloadedRetry, "the gateway's queue is full")
	} else if err != nil {
		return refused(message, statusv1.Code_CODE_UNAVAILABLE, unavailableRetry, "the gateway is stopping")
	}
	select {
	case verdict := <-p.verdict:
		return verdict
	case <-ctx.Done():
	}
	if p.state.CompareAndSwap(waiting, givenUp) {
		return refused(message, statusv1.Code_CODE_OVERLOADED, overloadedRetry, "the vote waited too long to be sent")
	}
	select {
	case verdict := <-p.verdict: // it came at the same moment
		return verdict
	default:
		return unknown(message, "no verdict in time")
	}
}

// refused is a definite refusal made here; the same vote may succeed later.
func refused(vote *votev1.Vote, code statusv1.Code, retryAfter time.Duration, detail string) *votev1.Verdict {
	return &votev1.Verdict{
		Code: code, Outcome: statusv1.Outcome_OUTCOME_NONE, Retryable: true, RetryAfter: durationpb.New(retryAfter),
		Detail: detail, VoteId: id(vote), DecidedAt: timestamppb.Now(),
	}
}

// refusedWith is one vote's share of the refusal of a whole call.
func refusedWith(vote *votev1.Vote, whole *statusv1.ErrorDetail) *votev1.Verdict {
	return &votev1.Verdict{
		Code: whole.GetCode(), Outcome: statusv1.Outcome_OUTCOME_NONE, Retryable: whole.GetRetryable(), RetryAfter: whole.GetRetryAfter(),
		Detail: "refused with its whole call", VoteId: id(vote), DecidedAt: timestamppb.Now(),
	}
}

// unknown is for a vote that was sent and not answered. Only a key makes it safe to send it again.
func unknown(vote *votev1.Vote, detail string) *votev1.Verdict {
	verdict := &votev1.Verdict{
		Code: statusv1.Code_CODE_OUTCOME_UNKNOWN, Outcome: statusv1.Outcome_OUTCOME_UNKNOWN,
		Retryable: vote.GetIdempotencyKey() != "", Detail: detail, VoteId: id(vote), DecidedAt: timestamppb.Now(),
	}
	if verdict.GetRetryable() {
		verdict.RetryAfter = durationpb.New(unavailableRetry)
	}
	return verdict
}

func id(vote *votev1.Vote) string {
	if key := vote.GetIdempotencyKey(); key != "" {
		return key
	}
	return vote.GetVoteId()
}
