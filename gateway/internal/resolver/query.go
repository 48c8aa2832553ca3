package resolver

import (
	"context"

	"github.com/littlevote/littlevote/gateway/graph/model"
	"github.com/littlevote/littlevote/gateway/internal/answer"
)

type query struct{ *Resolver }

func (q query) GetTicket(ctx context.Context, ballot *string) (*model.Ticket, error) {
	name, ok := ballotName(ctx, ballot)
	if !ok {
		return nil, answer.NotValid(answer.BallotFormat)
	}
	return q.cfg.Tickets.Newest(ctx, name)
}

func (q query) GetUserVotes(ctx context.Context, username string, ballot, atLeast *string) (*model.UserVote, error) {
	name, token, refusal := readable(ctx, ballot, atLeast)
	if refusal != nil {
		return nil, refusal
	}
	if !validName(username) {
		return nil, answer.NotValid(answer.NameRule(name))
	}
	return q.cfg.Tallies.One(ctx, name, username, token)
}

func (q query) GetAllUserVotes(ctx context.Context, ballot, atLeast *string) ([]*model.UserVote, error) {
	name, token, refusal := readable(ctx, ballot, atLeast)
	if refusal != nil {
		return nil, refusal
	}
	return q.cfg.Tallies.All(ctx, name, token)
}

func (q query) Vote(ctx context.Context, id string, ballot *string) (*model.VoteStatus, error) {
	name, ok := ballotName(ctx, ballot)
	if !ok {
		return nil, answer.NotValid(answer.BallotFormat)
	}
	canonical, ok := canonicalUUID(id)
	if !ok {
		return nil, answer.NotValid(answer.VoteIDFormat)
	}
	return q.cfg.Statuses.Status(ctx, name, canonical)
}

// readable checks what the reads of counts have in common. Of a token only the form is checked: what it means is for
// the query-service to know.
func readable(ctx context.Context, ballot, atLeast *string) (name, token string, err error) {
	name, ok := ballotName(ctx, ballot)
	if !ok {
		return "", "", answer.NotValid(answer.BallotFormat)
	}
	if atLeast == nil {
		return name, "", nil
	}
	if !validToken(*atLeast) {
		return "", "", answer.NotValid(answer.TokenFormat)
	}
	return name, *atLeast, nil
}
