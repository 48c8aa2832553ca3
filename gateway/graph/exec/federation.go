package exec

import (
	"context"
	"maps"

	"github.com/99designs/gqlgen/graphql"

	"github.com/littlevote/littlevote/gateway/graph/model"
)

// FederationResolver resolves the two fields that a federation router asks for. gqlgen's own plugin is not used: it
// refuses _service where introspection is off, and one broken representation spoils its whole batch.
type FederationResolver interface {
	// Entities returns one entity a representation, in their order; nil, with an error at its path, where there is none.
	Entities(ctx context.Context, representations []map[string]any) []model.Entity
	// Service describes this subgraph.
	Service() model.Service
}

// Root resolves every field of Query and Mutation.
type Root interface {
	ResolverRoot
	FederationResolver
}

// root is how the generated code, which knows ResolverRoot only, gets at the rest: New is the only way to make one.
type root struct{ Root }

// New returns the executable schema over its resolvers. @defer, which the parser adds to every schema, is taken out
// again: answers come in one piece.
func New(resolvers Root) graphql.ExecutableSchema {
	schema := *parsedSchema
	schema.Directives = maps.Clone(schema.Directives)
	delete(schema.Directives, "defer")
	return NewExecutableSchema(Config{Schema: &schema, Resolvers: root{resolvers}})
}

// The generated code calls these two by name.

func (ec *executionContext) __resolve_entities(ctx context.Context, representations []map[string]any) []model.Entity {
	resolvers, _ := ec.Resolvers.(root)
	return resolvers.Entities(ctx, representations)
}

func (ec *executionContext) __resolve__service(context.Context) (model.Service, error) {
	resolvers, _ := ec.Resolvers.(root)
	return resolvers.Service(), nil
}
