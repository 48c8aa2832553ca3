package reading

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"connectrpc.com/connect"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/littlevote/littlevote/libs/groupcommit"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/service"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// Bounds of one call.
const (
	maxReads      = 1000
	maxCandidates = 10_000
	maxFetch      = 1000 // reads that share a fetch
	defaultBallot = "main"
)

// Service implements QueryServiceHandler.
type Service struct {
	reader  *Reader
	ballots *ballots
	rights  *rights
	metrics *Metrics
	log     *slog.Logger
}

// Config bounds the service.
type Config struct {
	Workers int // fetches of one ballot at once
	Queue   int // reads of one ballot that wait
}

// NewService returns a service that knows its ballots once Run has read them.
func NewService(cfg Config, reader *Reader, metrics *Metrics, log *slog.Logger) (*Service, error) {
	open := func(row *rules) *shelf { return newShelf(row, reader, cfg, log) }
	s := &Service{
		reader:  reader,
		ballots: newBallots(reader.Primary, open, log),
		rights:  newRights(reader, cfg.Queue),
		metrics: metrics,
		log:     log,
	}
	return s, metrics.watch(s.waiting)
}

// waiting is how many reads wait for a fetch.
func (s *Service) waiting() int {
	n := 0
	for _, b := range s.ballots.all() {
		n += b.fetches.Len()
	}
	return n
}

// Run keeps the directory of ballots fresh until ctx ends.
func (s *Service) Run(ctx context.Context, refresh time.Duration) { s.ballots.run(ctx, refresh) }

// Ready is a health check: nil once the ballots are known.
func (s *Service) Ready(ctx context.Context) error { return s.ballots.ready(ctx) }

// Close answers what waits.
func (s *Service) Close(ctx context.Context) {
	for _, b := range s.ballots.all() {
		b.fetches.Close(ctx)
	}
	s.rights.asked.Close(ctx)
	s.ballots.lookups.Close()
}

// GetTallies implements QueryServiceHandler.
func (s *Service) GetTallies(ctx context.Context, req *queryv1.GetTalliesRequest) (*queryv1.GetTalliesResponse, error) {
	if err := checkBounds(req.GetReads()); err != nil {
		return nil, err
	}
	tallies := make([]*queryv1.Tally, len(req.GetReads()))
	waiting := make([]*read, len(req.GetReads()))
	for i, r := range req.GetReads() {
		tally, read, err := s.begin(ctx, r)
		if err != nil {
			return nil, err
		}
		tallies[i], waiting[i] = tally, read
	}
	for i, r := range waiting {
		if r == nil {
			continue
		}
		res, err := s.await(ctx, r)
		if err != nil {
			return nil, err
		}
		s.answer(ctx, tallies[i], r, &res.counts)
	}
	return &queryv1.GetTalliesResponse{Tallies: tallies}, nil
}

// answer puts counts into a tally, if they may be seen.
func (s *Service) answer(ctx context.Context, t *queryv1.Tally, r *read, c *counts) {
	visible, err := s.visible(ctx, r.shelf, r.viewer, c)
	switch {
	case err != nil:
		s.log.DebugContext(ctx, "who may see counts is not known", "ballot", r.shelf.name, "error", err)
		s.metrics.refuse(ctx, reasonRights)
		t.Code = statusv1.Code_CODE_UNAVAILABLE
	case !visible:
		t.Code = statusv1.Code_CODE_RESULTS_HIDDEN
	case r.rightsOnly:
		t.Code = statusv1.Code_CODE_OK
	default:
		fill(t, *c)
		s.metrics.answered(ctx, c.source, c.stale)
	}
}

// await returns the counts of a read that was begun.
func (s *Service) await(ctx context.Context, r *read) (result, error) {
	began := time.Now()
	soon, cancel := inTime(ctx)
	defer cancel()
	var res result
	select {
	case res = <-r.result:
	case <-soon.Done():
		res.err = soon.Err()
	}
	if r.token != nil {
		res = s.notOlder(soon, r, res)
		s.metrics.waited(ctx, began, res.err == nil)
	}
	switch {
	case res.err == nil:
		return res, nil
	case ctx.Err() != nil:
		return result{}, ctx.Err()
	case r.token != nil:
		s.log.DebugContext(ctx, "no store has seen a token's vote in time", "ballot", r.shelf.name, "error", res.err)
		s.metrics.refuse(ctx, reasonToken)
		return result{}, unavailable("no store that answers has seen the vote of this token")
	case errors.Is(res.err, errBehind):
		s.metrics.refuse(ctx, reasonBehind)
		return result{}, unavailable("no store that answers has every acknowledged vote yet")
	default:
		s.metrics.refuse(ctx, reasonStores)
		return result{}, unavailable("no store that holds counts answers")
	}
}

// begin starts a read, or says in its tally why not.
func (s *Service) begin(ctx context.Context, r *queryv1.TallyRead) (*queryv1.Tally, *read, error) {
	name := r.GetBallot()
	if name == "" {
		name = defaultBallot
	}
	tally := &queryv1.Tally{Ballot: name}
	b, code, err := s.find(ctx, name)
	if err != nil || b == nil {
		tally.Code = code
		return tally, nil, err
	}
	started := &read{
		shelf: b, names: r.GetCandidates(), viewer: r.GetViewer(), rightsOnly: r.GetRightsOnly(), result: make(chan result, 1),
	}
	token, ok := optionalToken(r.GetAtLeast())
	if !ok || !s.allowed(ctx, started) {
		tally.Code = statusv1.Code_CODE_INVALID_ARGUMENT
		return tally, nil, nil
	}
	started.token = token
	if started.rightsOnly && !started.probe() {
		return tally, started, nil
	}
	return tally, started, s.start(ctx, started)
}

// allowed checks the names of a read.
func (s *Service) allowed(ctx context.Context, r *read) bool {
	switch {
	case r.rightsOnly:
		return len(r.names) == 0
	case len(r.names) == 0:
		return r.shelf.rules.Load().mayReadAll()
	}
	return s.mayHold(ctx, r.shelf, r.names)
}

// mayHold refuses names that can't have votes. A closed list that lacks one is looked up: it may have got it a moment ago. If that
// fails, it is as it was.
func (s *Service) mayHold(ctx context.Context, b *shelf, names []string) bool {
	row := b.rules.Load()
	if row.mayHold(names) {
		return true
	}
	if row.Candidates == nil || slices.ContainsFunc(names, func(n string) bool { return !nameable(n) }) {
		return false
	}
	_, err := s.ballots.renew(ctx, b.name)
	return err == nil && b.rules.Load().mayHold(names)
}

// probe prepares a read that asks for rights only. It reports whether a store must be read, for its clock; else the
// answer is there already.
func (r *read) probe() bool {
	row := r.shelf.rules.Load()
	if !row.asksClock() {
		r.token = nil
		r.result <- result{counts: counts{source: queryv1.Source_SOURCE_REDIS}}
		return false
	}
	r.names = []string{"-"}
	if row.Candidates != nil {
		r.names = row.Candidates[:1]
	}
	return true
}

// find returns a ballot's shelf, or nil and why there is none.
func (s *Service) find(ctx context.Context, name string) (*shelf, statusv1.Code, error) {
	if b := s.ballots.known(name); b != nil {
		return b, statusv1.Code_CODE_OK, nil
	}
	if s.Ready(ctx) != nil {
		return nil, 0, unavailable("the ballots are not known yet")
	}
	b, err := s.ballots.find(ctx, name)
	switch {
	case err != nil:
		s.log.DebugContext(ctx, "a ballot is not known", "error", err)
		return nil, statusv1.Code_CODE_UNAVAILABLE, nil
	case b == nil:
		return nil, statusv1.Code_CODE_BALLOT_NOT_FOUND, nil
	}
	return b, statusv1.Code_CODE_OK, nil
}

// start queues a read for the next fetch of its ballot.
func (s *Service) start(ctx context.Context, r *read) error {
	r.span = trace.SpanFromContext(ctx)
	switch err := r.shelf.fetches.Put(r); {
	case errors.Is(err, groupcommit.ErrFull):
		s.metrics.refuse(ctx, reasonFull)
		return overloaded()
	case err != nil:
		s.metrics.refuse(ctx, reasonStopping)
		return unavailable("this instance is stopping")
	}
	return nil
}

func fill(t *queryv1.Tally, c counts) {
	t.Code = statusv1.Code_CODE_OK
	t.Source = c.source
	t.Stale = c.stale
	t.AsOf = timestamppb.New(c.asOf)
	t.Counts = make([]*queryv1.Count, len(c.list))
	for i, count := range c.list {
		t.Counts[i] = message(count)
	}
}

func message(count redisledger.Count) *queryv1.Count {
	m := &queryv1.Count{Candidate: count.Name, Votes: count.Votes}
	if !count.UpdatedAt.IsZero() {
		m.UpdatedAt = timestamppb.New(count.UpdatedAt)
	}
	return m
}

func checkBounds(reads []*queryv1.TallyRead) error {
	names := 0
	for _, r := range reads {
		names += len(r.GetCandidates())
	}
	if len(reads) == 0 || len(reads) > maxReads || names > maxCandidates {
		return service.Error(connect.CodeInvalidArgument,
			&statusv1.ErrorDetail{Code: statusv1.Code_CODE_INVALID_ARGUMENT, Outcome: statusv1.Outcome_OUTCOME_NONE},
			"reads: 1 to %d, with at most %d candidates in all", maxReads, maxCandidates)
	}
	return nil
}

func unavailable(why string) error {
	return service.Error(connect.CodeUnavailable, &statusv1.ErrorDetail{
		Code:       statusv1.Code_CODE_UNAVAILABLE,
		Outcome:    statusv1.Outcome_OUTCOME_NONE,
		Retryable:  true,
		RetryAfter: durationpb.New(time.Second),
	}, "%s", why)
}

func overloaded() error {
	return service.Error(connect.CodeResourceExhausted, &statusv1.ErrorDetail{
		Code:       statusv1.Code_CODE_OVERLOADED,
		Outcome:    statusv1.Outcome_OUTCOME_NONE,
		Retryable:  true,
		RetryAfter: durationpb.New(100 * time.Millisecond),
	}, "too many reads wait")
}
