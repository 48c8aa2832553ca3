package reading

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
)

func errNotYet() error {
	return connect.NewError(connect.CodeUnimplemented, errors.New("this version of the service has no such operation"))
}

// GetRanking implements QueryServiceHandler.
func (s *Service) GetRanking(context.Context, *queryv1.GetRankingRequest) (*queryv1.GetRankingResponse, error) {
	return nil, errNotYet()
}

// GetVoted implements QueryServiceHandler.
func (s *Service) GetVoted(context.Context, *queryv1.GetVotedRequest) (*queryv1.GetVotedResponse, error) {
	return nil, errNotYet()
}

// ListVotes implements QueryServiceHandler.
func (s *Service) ListVotes(context.Context, *queryv1.ListVotesRequest) (*queryv1.ListVotesResponse, error) {
	return nil, errNotYet()
}
