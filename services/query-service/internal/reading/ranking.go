package reading

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"sort"
	"unicode/utf8"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/service"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

const (
	defaultRanks = 10
	maxPage      = 1000
)

// ranking is the candidates of a ballot by rank: most votes first, equal ones by name in the order of bytes.
type ranking struct {
	list  []redisledger.Count
	votes int64
}

func newRanking(list []redisledger.Count) *ranking {
	r := &ranking{list: slices.Clone(list)}
	slices.SortFunc(r.list, func(a, b redisledger.Count) int {
		return cmp.Or(cmp.Compare(b.Votes, a.Votes), cmp.Compare(a.Name, b.Name))
	})
	for _, c := range r.list {
		r.votes += c.Votes
	}
	return r
}

// page returns at most size candidates behind a place, and where the next page begins; empty where nothing follows.
func (r *ranking) page(after *rankCursor, size int) (ranks []*queryv1.Rank, next string) {
	from := 0
	if after != nil {
		from = sort.Search(len(r.list), func(i int) bool { return after.before(r.list[i]) })
	}
	to := min(from+size, len(r.list))
	for i := from; i < to; i++ {
		c := r.list[i]
		ranks = append(ranks, &queryv1.Rank{Rank: r.rank(i, ranks), Count: message(c)})
	}
	if to < len(r.list) && to > 0 {
		last := r.list[to-1]
		next = rankCursor{votes: last.Votes, name: last.Name}.String()
	}
	return ranks, next
}

// rank is the place that the candidate at i shares with those of the same count.
func (r *ranking) rank(i int, before []*queryv1.Rank) int64 {
	if n := len(before); n > 0 && r.list[i-1].Votes == r.list[i].Votes {
		return before[n-1].GetRank()
	}
	votes := r.list[i].Votes
	return int64(sort.Search(i, func(j int) bool { return r.list[j].Votes <= votes })) + 1
}

// rankCursor is a place in a ranking. It names a count and a name and no number of order, so that a candidate whose count
// stands still is on exactly one page, whatever others do. One that is voted for between two pages may move
// over the place: up, and no page has it any more, or it was there before.
type rankCursor struct {
	votes int64
	name  string
}

// before says that a candidate comes behind the place.
func (c rankCursor) before(other redisledger.Count) bool {
	return other.Votes < c.votes || other.Votes == c.votes && other.Name > c.name
}

// String writes a cursor; clients hand it back as they got it.
func (c rankCursor) String() string {
	return base64.RawURLEncoding.EncodeToString(append(binary.AppendVarint(nil, c.votes), c.name...))
}

// parseRankCursor reads what String writes, and nothing else.
func parseRankCursor(text string) (*rankCursor, bool) {
	if text == "" {
		return nil, true
	}
	if len(text) > base64.RawURLEncoding.EncodedLen(binary.MaxVarintLen64+maxName) {
		return nil, false
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, false
	}
	votes, n := binary.Varint(data)
	if n <= 0 || !utf8.Valid(data[n:]) {
		return nil, false
	}
	c := &rankCursor{votes: votes, name: string(data[n:])}
	return c, c.String() == text
}

// GetRanking implements QueryServiceHandler.
func (s *Service) GetRanking(ctx context.Context, req *queryv1.GetRankingRequest) (*queryv1.GetRankingResponse, error) {
	size, ok := pageSize(req.GetPageSize(), defaultRanks)
	after, wellFormed := parseRankCursor(req.GetAfter())
	token, valid := optionalToken(req.GetAtLeast())
	if !ok || !wellFormed || !valid {
		return nil, invalid("page_size: 0 to 1000; after, at_least: as an earlier answer had them")
	}
	b, err := s.named(ctx, req.GetBallot())
	if err != nil {
		return nil, err
	}
	if !b.rules.Load().mayReadAll() {
		return nil, precondition("the ballot has too many candidates to rank them all")
	}
	r := &read{shelf: b, token: token, viewer: req.GetViewer(), result: make(chan result, 1)}
	if err := s.start(ctx, r); err != nil {
		return nil, err
	}
	res, err := s.await(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := s.mustSee(ctx, r, &res.counts); err != nil {
		return nil, err
	}
	s.metrics.answered(ctx, res.counts.source, res.counts.stale)
	all := res.ranking()
	ranks, next := all.page(after, size)
	return &queryv1.GetRankingResponse{
		Ranks: ranks, Next: next, Candidates: int64(len(all.list)), Votes: all.votes,
		Source: res.counts.source, Stale: res.counts.stale, AsOf: timestamppb.New(res.counts.asOf),
	}, nil
}

// named is find for calls that are about one ballot.
func (s *Service) named(ctx context.Context, name string) (*shelf, error) {
	if name == "" {
		name = defaultBallot
	}
	b, code, err := s.find(ctx, name)
	switch {
	case err != nil:
		return nil, err
	case code == statusv1.Code_CODE_BALLOT_NOT_FOUND:
		return nil, refused(connect.CodeNotFound, code, "there is no such ballot")
	case code != statusv1.Code_CODE_OK:
		return nil, unavailable("the ballot can't be looked up now")
	}
	return b, nil
}

// mustSee refuses who may not see counts.
func (s *Service) mustSee(ctx context.Context, r *read, c *counts) error {
	visible, err := s.visible(ctx, r.shelf, r.viewer, c)
	if err != nil {
		s.log.DebugContext(ctx, "who may see counts is not known", "ballot", r.shelf.name, "error", err)
		s.metrics.refuse(ctx, reasonRights)
		return unavailable("who may see the counts can't be told now")
	}
	if !visible {
		return refused(connect.CodePermissionDenied, statusv1.Code_CODE_RESULTS_HIDDEN, "the ballot does not show its counts now")
	}
	return nil
}

func pageSize(asked int32, otherwise int) (int, bool) {
	if asked == 0 {
		return otherwise, true
	}
	return int(asked), 1 <= asked && asked <= maxPage
}

// refused is an error that stays the same when the call is repeated.
func refused(code connect.Code, detail statusv1.Code, why string) error {
	return service.Error(code, &statusv1.ErrorDetail{Code: detail, Outcome: statusv1.Outcome_OUTCOME_NONE}, "%s", why)
}

func invalid(why string) error {
	return refused(connect.CodeInvalidArgument, statusv1.Code_CODE_INVALID_ARGUMENT, why)
}

func precondition(why string) error {
	return refused(connect.CodeFailedPrecondition, statusv1.Code_CODE_FAILED_PRECONDITION, why)
}
