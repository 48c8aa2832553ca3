package resolver

import (
	"context"

	"github.com/littlevote/littlevote/gateway/graph/exec"
	"github.com/littlevote/littlevote/gateway/graph/model"
	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/identity"
	"github.com/littlevote/littlevote/gateway/internal/reads"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// BallotReader finds ballots by their full names.
type BallotReader interface {
	Get(ctx context.Context, ballot string) (*model.Ballot, error)
	Many(ctx context.Context, ballots []string, found func(i int, ballot *model.Ballot, err error))
	Result(ctx context.Context, ballot string) (*model.BallotResult, error)
}

// RankingReader finds rankings, and the votes of the caller.
type RankingReader interface {
	Ranking(ctx context.Context, ballot string, page reads.Page, atLeast string) (*model.RankingPage, error)
	Own(ctx context.Context, ballot string, page reads.Page, atLeast string) (*model.OwnVotesPage, error)
}

const (
	maxPage    = 100 // entries
	maxRanking = 1000
	maxCursor  = 512 // bytes; the longest holds a candidate's name
)

func (q query) Me(ctx context.Context) (*model.Viewer, error) {
	who := identity.From(ctx)
	if who.Voter == "" {
		return nil, nil //nolint:nilnil // GraphQL's null: somebody unknown
	}
	return &model.Viewer{Voter: who.Voter, Tenant: string(who.Tenant), Scopes: append([]string{}, who.Scopes...)}, nil
}

func (q query) Ballot(ctx context.Context, id string) (*model.Ballot, error) {
	name, ok := ballotName(ctx, &id)
	if !ok {
		return nil, answer.NotValid(answer.BallotFormat)
	}
	return q.cfg.Ballots.Get(ctx, name)
}

// Ballot resolves the fields of Ballot that ask a service.
func (r *Resolver) Ballot() exec.BallotResolver { return ballot{r} }

type ballot struct{ *Resolver }

func (b ballot) Ranking(ctx context.Context, of *model.Ballot, first *int32, after, atLeast *string) (*model.RankingPage, error) {
	page, refusal := pageOf(first, after, maxRanking)
	if refusal != nil {
		return nil, refusal
	}
	name, token, refusal := readable(ctx, &of.ID, atLeast)
	if refusal != nil {
		return nil, refusal
	}
	return b.cfg.Rankings.Ranking(ctx, name, page, token)
}

func (b ballot) MyVotes(ctx context.Context, of *model.Ballot, first *int32, after, atLeast *string) (*model.OwnVotesPage, error) {
	page, refusal := pageOf(first, after, maxPage)
	if refusal != nil {
		return nil, refusal
	}
	name, token, refusal := readable(ctx, &of.ID, atLeast)
	if refusal != nil {
		return nil, refusal
	}
	return b.cfg.Rankings.Own(ctx, name, page, token)
}

// Result hides what NEVER hides; everybody may see the others once they are closed.
func (b ballot) Result(ctx context.Context, of *model.Ballot) (*model.BallotResult, error) {
	if of.State != model.BallotStateCertified {
		return nil, nil //nolint:nilnil // GraphQL's null: there is none yet
	}
	if of.Visibility == model.VisibilityNever && !identity.From(ctx).Organiser() {
		return nil, &answer.Refusal{Code: statusv1.Code_CODE_RESULTS_HIDDEN, Text: answer.ResultsHidden}
	}
	name, ok := ballotName(ctx, &of.ID)
	if !ok {
		return nil, answer.NotValid(answer.BallotFormat)
	}
	return b.cfg.Ballots.Result(ctx, name)
}

// pageOf checks which part of a list is asked for. What a cursor means is for the service to know.
func pageOf(first *int32, after *string, most int32) (reads.Page, error) {
	page := reads.Page{First: most}
	if first != nil {
		page.First = *first
	}
	if page.First < 1 || page.First > most {
		return reads.Page{}, answer.NotValid(answer.PageSize)
	}
	if after != nil {
		page.After = *after
		if page.After == "" || len(page.After) > maxCursor {
			return reads.Page{}, answer.NotValid(answer.CursorFormat)
		}
	}
	return page, nil
}
