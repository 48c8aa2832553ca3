package likes

import (
	"context"

	"github.com/littlevote/littlevote/libs/service"
	blogv1 "github.com/littlevote/littlevote/proto/gen/littlevote/blog/v1"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// HasLiked implements LikeServiceHandler.
func (s *Service) HasLiked(ctx context.Context, req *blogv1.HasLikedRequest) (*blogv1.HasLikedResponse, error) {
	if err := checkTenant(req.GetTenant()); err != nil {
		return nil, err
	}
	if err := checkVoter(req.GetVoter()); err != nil {
		return nil, err
	}
	if err := checkItems(req.GetItems()); err != nil {
		return nil, err
	}
	answer, err := s.backends.Queries.GetVoted(ctx, &queryv1.GetVotedRequest{
		Ballot: ballotOf(req.GetTenant()), Voter: req.GetVoter(), Candidates: req.GetItems(),
	})
	switch {
	case noBallot(err):
		return &blogv1.HasLikedResponse{Liked: make([]bool, len(req.GetItems()))}, nil
	case err != nil:
		return nil, passedOn(err)
	case len(answer.GetVoted()) != len(req.GetItems()):
		return nil, errVerdicts
	}
	return &blogv1.HasLikedResponse{Liked: answer.GetVoted()}, nil
}

// GetLikeCounts implements LikeServiceHandler.
func (s *Service) GetLikeCounts(ctx context.Context, req *blogv1.GetLikeCountsRequest) (*blogv1.GetLikeCountsResponse, error) {
	if err := checkTenant(req.GetTenant()); err != nil {
		return nil, err
	}
	if err := checkItems(req.GetItems()); err != nil {
		return nil, err
	}
	answer, err := s.backends.Queries.GetTallies(ctx, &queryv1.GetTalliesRequest{Reads: []*queryv1.TallyRead{{
		Ballot: ballotOf(req.GetTenant()), Candidates: req.GetItems(), AtLeast: req.GetAtLeast(),
	}}})
	if err != nil {
		return nil, passedOn(err)
	}
	if len(answer.GetTallies()) != 1 {
		return nil, errVerdicts
	}
	tally, counts := answer.GetTallies()[0], make([]int64, len(req.GetItems()))
	switch code := tally.GetCode(); {
	case code == statusv1.Code_CODE_BALLOT_NOT_FOUND: // nobody has liked anything yet
		return &blogv1.GetLikeCountsResponse{Counts: counts}, nil
	case code == statusv1.Code_CODE_INVALID_ARGUMENT:
		return nil, invalid("at_least: no consistency token of likes")
	case code != statusv1.Code_CODE_OK || len(tally.GetCounts()) != len(counts):
		return nil, errVerdicts
	}
	for i, count := range tally.GetCounts() {
		counts[i] = count.GetVotes()
	}
	return &blogv1.GetLikeCountsResponse{Counts: counts, Stale: tally.GetStale()}, nil
}

// ListMyLikes implements LikeServiceHandler.
func (s *Service) ListMyLikes(ctx context.Context, req *blogv1.ListMyLikesRequest) (*blogv1.ListMyLikesResponse, error) {
	if err := checkVoter(req.GetVoter()); err != nil {
		return nil, err
	}
	likes, next, err := s.list(ctx, req.GetTenant(), &queryv1.ListVotesRequest{
		Voter: req.GetVoter(), PageSize: req.GetPageSize(), After: req.GetAfter(), AtLeast: req.GetAtLeast(),
	})
	if err != nil {
		return nil, err
	}
	return &blogv1.ListMyLikesResponse{Likes: likes, Next: next}, nil
}

// ListLikers implements LikeServiceHandler.
func (s *Service) ListLikers(ctx context.Context, req *blogv1.ListLikersRequest) (*blogv1.ListLikersResponse, error) {
	if err := checkItems([]string{req.GetItem()}); err != nil {
		return nil, err
	}
	likes, next, err := s.list(ctx, req.GetTenant(), &queryv1.ListVotesRequest{
		Candidate: req.GetItem(), PageSize: req.GetPageSize(), After: req.GetAfter(), AtLeast: req.GetAtLeast(),
	})
	if err != nil {
		return nil, err
	}
	return &blogv1.ListLikersResponse{Likes: likes, Next: next}, nil
}

func (s *Service) list(ctx context.Context, tenant string, req *queryv1.ListVotesRequest) ([]*blogv1.ItemLike, string, error) {
	if err := checkTenant(tenant); err != nil {
		return nil, "", err
	}
	req.Ballot = ballotOf(tenant)
	answer, err := s.backends.Queries.ListVotes(ctx, req)
	if noBallot(err) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", passedOn(err)
	}
	likes := make([]*blogv1.ItemLike, len(answer.GetVotes()))
	for i, vote := range answer.GetVotes() {
		likes[i] = &blogv1.ItemLike{
			VoteId: vote.GetVoteId(), Voter: vote.GetVoter(), Item: vote.GetCandidate(), LikedAt: vote.GetVotedAt(),
		}
	}
	return likes, answer.GetNext(), nil
}

func checkItems(items []string) error {
	if n := len(items); n == 0 || n > maxItems {
		return invalid("items: expected 1 to %d", maxItems)
	}
	for _, name := range items {
		if !item.MatchString(name) {
			return invalid("items: expected 1 to 64 of A-Z, a-z, 0-9 and _ : -")
		}
	}
	return nil
}

// noBallot says that the tenant has no ballot of likes: nobody has liked anything yet.
func noBallot(err error) bool {
	detail, said := service.Detail(err)
	return said && detail.GetCode() == statusv1.Code_CODE_BALLOT_NOT_FOUND
}
