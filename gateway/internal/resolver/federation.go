package resolver

import (
	"context"
	"sync"

	"github.com/99designs/gqlgen/graphql"

	"github.com/littlevote/littlevote/gateway/graph/model"
	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/reads"
)

// maxEntities bounds one _entities field; a router splits larger ones.
const maxEntities = 1000

// FindEntities finds entities of one type by their keys, all in one go. It calls found for each once, with an
// answer.Refusal where there is none; what is wrong with one of them touches no other.
type FindEntities func(ctx context.Context, representations []map[string]any, found func(i int, entity model.Entity, err error))

// Service describes this subgraph.
func (r *Resolver) Service() model.Service { return model.Service{Sdl: r.cfg.SDL} }

// Entities finds all representations, those of one type in one go. What is wrong with one of them is an error at its path,
// and no more.
func (r *Resolver) Entities(ctx context.Context, representations []map[string]any) []model.Entity {
	entities := make([]model.Entity, len(representations))
	if len(representations) > maxEntities {
		graphql.AddError(ctx, answer.NotValid(answer.EntitiesTooMany))
		return entities
	}
	fail := func(i int, err error) {
		graphql.AddError(graphql.WithPathContext(ctx, graphql.NewPathWithIndex(i)), err)
	}
	places := make(map[string][]int)
	for i, representation := range representations {
		name, _ := representation["__typename"].(string)
		if r.entities[name] == nil {
			fail(i, answer.NotValid(answer.EntityType))
			continue
		}
		places[name] = append(places[name], i)
	}
	var types sync.WaitGroup
	for name, at := range places {
		types.Go(func() {
			ofType := make([]map[string]any, len(at))
			for k, i := range at {
				ofType[k] = representations[i]
			}
			r.entities[name](ctx, ofType, func(k int, entity model.Entity, err error) {
				if err != nil {
					fail(at[k], err)
					return
				}
				entities[at[k]] = entity
			})
		})
	}
	types.Wait()
	return entities
}

func (r *Resolver) findUserVotes(
	ctx context.Context, representations []map[string]any, found func(i int, entity model.Entity, err error),
) {
	candidates, places := keys(representations, found, func(representation map[string]any) (reads.Candidate, error) {
		return userVoteKey(ctx, representation)
	})
	r.cfg.Tallies.Many(ctx, candidates, func(i int, vote *model.UserVote, err error) { found(places[i], vote, err) })
}

func (r *Resolver) findBallots(
	ctx context.Context, representations []map[string]any, found func(i int, entity model.Entity, err error),
) {
	names, places := keys(representations, found, func(representation map[string]any) (string, error) {
		return ballotKey(ctx, representation, "id")
	})
	r.cfg.Ballots.Many(ctx, names, func(i int, ballot *model.Ballot, err error) { found(places[i], ballot, err) })
}

// keys reads the key of each representation, and says of the others what is wrong with them.
func keys[K any](
	representations []map[string]any, found func(i int, entity model.Entity, err error), read func(map[string]any) (K, error),
) (list []K, places []int) {
	for i, representation := range representations {
		key, err := read(representation)
		if err != nil {
			found(i, nil, err)
			continue
		}
		list, places = append(list, key), append(places, i)
	}
	return list, places
}

// ballotKey reads the full name of a ballot.
func ballotKey(ctx context.Context, representation map[string]any, field string) (string, error) {
	id, ok := representation[field].(string)
	if !ok {
		return "", answer.NotValid(answer.EntityFormat)
	}
	name, ok := ballotName(ctx, &id)
	if !ok {
		return "", answer.NotValid(answer.BallotFormat)
	}
	return name, nil
}

func userVoteKey(ctx context.Context, representation map[string]any) (reads.Candidate, error) {
	name, err := ballotKey(ctx, representation, "ballot")
	if err != nil {
		return reads.Candidate{}, err
	}
	username, ok := representation["username"].(string)
	if !ok {
		return reads.Candidate{}, answer.NotValid(answer.EntityFormat)
	}
	if !validName(username) {
		return reads.Candidate{}, answer.NotValid(answer.NameRule(name))
	}
	return reads.Candidate{Ballot: name, Name: username}, nil
}
