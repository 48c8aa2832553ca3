package reading

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/littlevote/littlevote/libs/groupcommit"
	"github.com/littlevote/littlevote/libs/pgledger"
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
	open := func(rules pgledger.Ballot) *shelf { return newShelf(rules, reader, cfg, log) }
	s := &Service{
		reader:  reader,
		ballots: &ballots{pool: reader.Primary, open: open, log: log, names: map[string]*shelf{}},
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
		c, err := s.await(ctx, r)
		if err != nil {
			return nil, err
		}
		fill(tallies[i], c)
		s.metrics.answered(ctx, c.source, c.stale)
	}
	return &queryv1.GetTalliesResponse{Tallies: tallies}, nil
}

// await returns the counts of a read that was begun.
func (s *Service) await(ctx context.Context, r *read) (counts, error) {
	began := time.Now()
	var res result
	select {
	case res = <-r.result:
	case <-ctx.Done():
		return counts{}, ctx.Err()
	}
	if r.token != nil {
		c, err := s.notOlder(ctx, r, res)
		s.metrics.waited(ctx, began, err == nil)
		return c, err
	}
	if res.err != nil {
		s.metrics.refuse(ctx, reasonStores)
		return counts{}, unavailable("no store that holds counts answers")
	}
	return res.counts, nil
}

// begin starts a read, or says in its tally why not.
func (s *Service) begin(ctx context.Context, r *queryv1.TallyRead) (*queryv1.Tally, *read, error) {
	name := r.GetBallot()
	if name == "" {
		name = defaultBallot
	}
	tally := &queryv1.Tally{Ballot: name}
	b := s.ballots.find(name)
	if b == nil {
		if s.Ready(context.Background()) != nil {
			return nil, nil, unavailable("the ballots are not known yet")
		}
		tally.Code = statusv1.Code_CODE_BALLOT_NOT_FOUND
		return tally, nil, nil
	}
	for _, n := range r.GetCandidates() {
		if !b.mayHold(n) {
			tally.Code = statusv1.Code_CODE_INVALID_ARGUMENT
			return tally, nil, nil
		}
	}
	started := &read{shelf: b, names: r.GetCandidates(), result: make(chan result, 1)}
	if text := r.GetAtLeast(); text != "" {
		token, ok := parseToken(text)
		if !ok {
			tally.Code = statusv1.Code_CODE_INVALID_ARGUMENT
			return tally, nil, nil
		}
		started.token = &token
	}
	switch err := b.fetches.Put(started); {
	case errors.Is(err, groupcommit.ErrFull):
		s.metrics.refuse(ctx, reasonFull)
		return nil, nil, overloaded()
	case err != nil:
		s.metrics.refuse(ctx, reasonStopping)
		return nil, nil, unavailable("this instance is stopping")
	}
	return tally, started, nil
}

func fill(t *queryv1.Tally, c counts) {
	t.Code = statusv1.Code_CODE_OK
	t.Source = c.source
	t.Stale = c.stale
	t.AsOf = timestamppb.New(c.asOf)
	t.Counts = make([]*queryv1.Count, len(c.list))
	for i, count := range c.list {
		t.Counts[i] = &queryv1.Count{Candidate: count.Name, Votes: count.Votes}
		if !count.UpdatedAt.IsZero() {
			t.Counts[i].UpdatedAt = timestamppb.New(count.UpdatedAt)
		}
	}
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
