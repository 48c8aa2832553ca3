// Package resolver answers the fields of Query and Mutation: it checks arguments, asks the services, and says in the
// caller's language what came of it.
package resolver

import (
	"context"
	"maps"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"github.com/littlevote/littlevote/gateway/graph/exec"
	"github.com/littlevote/littlevote/gateway/graph/model"
	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/likes"
	"github.com/littlevote/littlevote/gateway/internal/reads"
	"github.com/littlevote/littlevote/gateway/internal/votes"
	"github.com/littlevote/littlevote/libs/ticket"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// TicketReader finds the newest usable ticket of a ballot.
type TicketReader interface {
	Newest(ctx context.Context, ballot string) (*model.Ticket, error)
}

// TallyReader finds counts.
type TallyReader interface {
	One(ctx context.Context, ballot, candidate, atLeast string) (*model.UserVote, error)
	All(ctx context.Context, ballot, atLeast string) ([]*model.UserVote, error)
	Many(ctx context.Context, candidates []reads.Candidate, found func(i int, vote *model.UserVote, err error))
}

// StatusReader finds out what became of a vote.
type StatusReader interface {
	Status(ctx context.Context, ballot, id string) (*model.VoteStatus, error)
}

// Voter decides votes.
type Voter interface {
	Cast(ctx context.Context, vote votes.Vote) *votev1.Verdict
	Retract(ctx context.Context, ballot, id, key string) *votev1.Verdict
}

// Config is what a Resolver needs.
type Config struct {
	Tickets   TicketReader
	Tallies   TallyReader
	Statuses  StatusReader
	Ballots   BallotReader
	Rankings  RankingReader
	Voter     Voter
	Organiser Organiser
	Live      Live
	Blog      *likes.Blog             // nil: there is none
	Entities  map[string]FindEntities // by type, beside those of this package
	Keys      *ticket.Keys
	Texts     *answer.Texts
	Language  answer.Language // where Accept-Language names none of ours
	SDL       string
	Now       func() time.Time
}

// Resolver is the root of all fields.
type Resolver struct {
	cfg      Config
	entities map[string]FindEntities // by type
}

// New returns the root.
func New(cfg Config) *Resolver {
	r := &Resolver{cfg: cfg, entities: maps.Clone(cfg.Entities)}
	if r.entities == nil {
		r.entities = make(map[string]FindEntities)
	}
	r.entities["UserVote"], r.entities["Ballot"] = r.findUserVotes, r.findBallots
	r.entities["Post"], r.entities["User"] = r.findPosts, r.findUsers
	return r
}

// Query resolves the fields of Query.
func (r *Resolver) Query() exec.QueryResolver { return query{r} }

// Mutation resolves the fields of Mutation.
func (r *Resolver) Mutation() exec.MutationResolver { return mutation{r} }

func (r *Resolver) language(ctx context.Context) answer.Language {
	return answer.Negotiate(graphql.GetOperationContext(ctx).Headers.Get("Accept-Language"), r.cfg.Language)
}
