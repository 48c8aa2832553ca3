package voting

import (
	"context"

	"connectrpc.com/connect"

	"github.com/littlevote/littlevote/libs/service"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// maxVotes is how many votes one call may carry.
const maxVotes = 1000

// CastVotes implements VoteServiceHandler.
func (e *Engine) CastVotes(ctx context.Context, req *votev1.CastVotesRequest) (*votev1.CastVotesResponse, error) {
	votes := req.GetVotes()
	if len(votes) == 0 || len(votes) > maxVotes {
		return nil, service.Error(connect.CodeInvalidArgument,
			&statusv1.ErrorDetail{Code: statusv1.Code_CODE_INVALID_ARGUMENT, Outcome: statusv1.Outcome_OUTCOME_NONE},
			"votes: 1 to %d", maxVotes)
	}
	verdicts, err := e.castAll(ctx, votes)
	if err != nil {
		return nil, err
	}
	return &votev1.CastVotesResponse{Verdicts: verdicts}, nil
}
