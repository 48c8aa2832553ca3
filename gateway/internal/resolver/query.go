package resolver

import (
	"context"

	"github.com/littlevote/littlevote/gateway/graph/model"
	"github.com/littlevote/littlevote/gateway/internal/answer"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

type query struct{ *Resolver }

func (q query) GetTicket(ctx context.Context, ballot *string) (*model.Ticket, error) {
	name, ok := ballotName(ballot)
	if !ok {
		return nil, answer.NotValid(answer.BallotFormat)
	}
	return q.cfg.Tickets.Newest(ctx, name)
}

func (q query) GetUserVotes(ctx context.Context, username string, ballot, atLeast *string) (*model.UserVote, error) {
	name, refusal := readable(ballot, atLeast)
	if refusal != nil {
		return nil, refusal
	}
	if !validName(username) {
		return nil, answer.NotValid(answer.NameRule(name))
	}
	vote, err := q.cfg.Tallies.One(ctx, name, username)
	if err != nil {
		return nil, err
	}
	if atLeast != nil && vote.Stale {
		return nil, notReached()
	}
	return vote, nil
}

func (q query) GetAllUserVotes(ctx context.Context, ballot, atLeast *string) ([]*model.UserVote, error) {
	name, refusal := readable(ballot, atLeast)
	if refusal != nil {
		return nil, refusal
	}
	all, err := q.cfg.Tallies.All(ctx, name)
	if err != nil {
		return nil, err
	}
	if atLeast != nil && len(all) > 0 && all[0].Stale {
		return nil, notReached()
	}
	return all, nil
}

// readable checks what the reads of counts have in common. A token needs no more than its form: a count that is not
// stale shows every acknowledged vote, and a stale one is refused where there is a token.
func readable(ballot, atLeast *string) (string, error) {
	name, ok := ballotName(ballot)
	if !ok {
		return "", answer.NotValid(answer.BallotFormat)
	}
	if atLeast != nil && !validToken(*atLeast) {
		return "", answer.NotValid(answer.TokenFormat)
	}
	return name, nil
}

func notReached() error {
	return &answer.Refusal{
		Code: statusv1.Code_CODE_UNAVAILABLE, Text: answer.TokenNotReached, Retryable: true, RetryAfter: staleRetry,
	}
}
