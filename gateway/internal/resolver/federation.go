package resolver

import (
	"context"

	"github.com/99designs/gqlgen/graphql"

	"github.com/littlevote/littlevote/gateway/graph/model"
	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/reads"
)

// maxEntities bounds one _entities field; a router splits larger ones.
const maxEntities = 1000

// Service describes this subgraph.
func (r *Resolver) Service() model.Service { return model.Service{Sdl: r.cfg.SDL} }

// Entities finds all representations in one go. What is wrong with one of them is an error at its path, and no more.
func (r *Resolver) Entities(ctx context.Context, representations []map[string]any) []model.Entity {
	entities := make([]model.Entity, len(representations))
	if len(representations) > maxEntities {
		graphql.AddError(ctx, answer.NotValid(answer.EntitiesTooMany))
		return entities
	}
	fail := func(i int, err error) {
		graphql.AddError(graphql.WithPathContext(ctx, graphql.NewPathWithIndex(i)), err)
	}
	candidates := make([]reads.Candidate, 0, len(representations))
	places := make([]int, 0, len(representations))
	for i, representation := range representations {
		candidate, err := entityKey(ctx, representation)
		if err != nil {
			fail(i, err)
			continue
		}
		candidates = append(candidates, candidate)
		places = append(places, i)
	}
	r.cfg.Tallies.Many(ctx, candidates, func(i int, vote *model.UserVote, err error) {
		if err != nil {
			fail(places[i], err)
			return
		}
		entities[places[i]] = vote
	})
	return entities
}

// entityKey reads the key of a UserVote, the only entity.
func entityKey(ctx context.Context, representation map[string]any) (reads.Candidate, error) {
	if representation["__typename"] != "UserVote" {
		return reads.Candidate{}, answer.NotValid(answer.EntityType)
	}
	ballot, ok := representation["ballot"].(string)
	if !ok {
		return reads.Candidate{}, answer.NotValid(answer.EntityFormat)
	}
	username, ok := representation["username"].(string)
	if !ok {
		return reads.Candidate{}, answer.NotValid(answer.EntityFormat)
	}
	name, ok := ballotName(ctx, &ballot)
	if !ok {
		return reads.Candidate{}, answer.NotValid(answer.BallotFormat)
	}
	if !validName(username) {
		return reads.Candidate{}, answer.NotValid(answer.NameRule(name))
	}
	return reads.Candidate{Ballot: name, Name: username}, nil
}
