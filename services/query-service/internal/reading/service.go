package reading

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/littlevote/littlevote/libs/groupcommit"
	"github.com/littlevote/littlevote/libs/pgledger"
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
	log     *slog.Logger
}

// Config bounds the service.
type Config struct {
	Workers int // fetches of one ballot at once
	Queue   int // reads of one ballot that wait
}

// NewService returns a service that knows its ballots once Run has read them.
func NewService(cfg Config, reader *Reader, pool *pgxpool.Pool, log *slog.Logger) *Service {
	open := func(rules pgledger.Ballot) *shelf { return newShelf(rules, reader, cfg) }
	return &Service{
		reader:  reader,
		ballots: &ballots{pool: pool, open: open, log: log, names: map[string]*shelf{}},
		log:     log,
	}
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

// shelf is a ballot and its fetches.
type shelf struct {
	rules   pgledger.Ballot
	fetches *groupcommit.Batcher[*read]
}

// read is one TallyRead on its way.
type read struct {
	names  []string // empty: all
	result chan result
}

type result struct {
	counts counts
	err    error
}

func newShelf(rules pgledger.Ballot, reader *Reader, cfg Config) *shelf {
	s := &shelf{rules: rules}
	s.fetches = groupcommit.New(
		groupcommit.Config{Workers: cfg.Workers, MaxBatch: maxFetch, MaxQueue: cfg.Queue},
		func(ctx context.Context, reads []*read) { s.fetch(ctx, reader, reads) },
	)
	return s
}

// fetch answers many reads by one fetch of all names they ask for.
func (s *shelf) fetch(ctx context.Context, reader *Reader, reads []*read) {
	names := s.union(reads)
	c, err := reader.read(ctx, s.rules.Name, names)
	index := map[string]int{}
	for i, count := range c.list {
		index[count.Name] = i
	}
	for _, r := range reads {
		if err != nil {
			r.result <- result{err: err}
			continue
		}
		own := counts{source: c.source, asOf: c.asOf, list: c.list}
		if len(r.names) > 0 || s.rules.Candidates != nil {
			own.list = pick(c.list, index, s.asked(r.names))
		}
		r.result <- result{counts: own}
	}
}

// asked returns the names that a read of names means; a closed list knows all of its own.
func (s *shelf) asked(names []string) []string {
	if len(names) == 0 {
		return s.rules.Candidates
	}
	return names
}

// union returns every name that is asked for, once; none if some read asks for all names of an open list.
func (s *shelf) union(reads []*read) []string {
	var names []string
	seen := map[string]bool{}
	for _, r := range reads {
		asked := s.asked(r.names)
		if len(asked) == 0 {
			return nil
		}
		for _, n := range asked {
			if !seen[n] {
				seen[n] = true
				names = append(names, n)
			}
		}
	}
	return names
}

func pick(list []redisledger.Count, index map[string]int, names []string) []redisledger.Count {
	out := make([]redisledger.Count, len(names))
	for i, n := range names {
		out[i] = redisledger.Count{Name: n}
		if at, ok := index[n]; ok {
			out[i] = list[at]
		}
	}
	return out
}

// GetTallies implements QueryServiceHandler.
func (s *Service) GetTallies(ctx context.Context, req *queryv1.GetTalliesRequest) (*queryv1.GetTalliesResponse, error) {
	if err := checkBounds(req.GetReads()); err != nil {
		return nil, err
	}
	tallies := make([]*queryv1.Tally, len(req.GetReads()))
	waiting := make([]*read, len(req.GetReads()))
	for i, r := range req.GetReads() {
		tally, read, err := s.begin(r)
		if err != nil {
			return nil, err
		}
		tallies[i], waiting[i] = tally, read
	}
	for i, r := range waiting {
		if r == nil {
			continue
		}
		select {
		case res := <-r.result:
			if res.err != nil {
				s.log.WarnContext(ctx, "no store answers a read", "ballot", tallies[i].GetBallot(), "error", res.err)
				return nil, unavailable("no store that holds counts answers")
			}
			fill(tallies[i], res.counts)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return &queryv1.GetTalliesResponse{Tallies: tallies}, nil
}

// begin starts a read, or says in its tally why not.
func (s *Service) begin(r *queryv1.TallyRead) (*queryv1.Tally, *read, error) {
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
	if b.rules.Candidates != nil {
		for _, n := range r.GetCandidates() {
			if !slices.Contains(b.rules.Candidates, n) {
				tally.Code = statusv1.Code_CODE_INVALID_ARGUMENT
				return tally, nil, nil
			}
		}
	}
	started := &read{names: r.GetCandidates(), result: make(chan result, 1)}
	switch err := b.fetches.Put(started); {
	case errors.Is(err, groupcommit.ErrFull):
		return nil, nil, overloaded()
	case err != nil:
		return nil, nil, unavailable("this instance is stopping")
	}
	return tally, started, nil
}

func fill(t *queryv1.Tally, c counts) {
	t.Code = statusv1.Code_CODE_OK
	t.Source = c.source
	t.Stale = c.source != queryv1.Source_SOURCE_REDIS
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
