package exec

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
)

// marshalSlice stands in for graphql.MarshalSliceConcurrently, which starts a goroutine an element: our elements are
// plain structs, so that costs more than the work itself.
func marshalSlice(
	ctx context.Context, length int, _ int64, _ bool, element func(ctx context.Context, i int) graphql.Marshaler,
) graphql.Array {
	list := make(graphql.Array, length)
	for i := range length {
		list[i] = element(graphql.WithFieldContext(ctx, &graphql.FieldContext{Index: &i}), i)
	}
	return list
}
