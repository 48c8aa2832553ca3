package exec

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/google/go-cmp/cmp"

	"github.com/littlevote/littlevote/gateway/graph/model"
)

// Whatever comes in, what is read by hand is what the generated code reads, errors included.
func TestReadInputsEqualGeneratedOnes(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	odd := []any{nil, "x", int64(5), int64(math.MaxInt32 + 1), 1.5, true, []any{}, []any{"a", int64(1)}, []any{nil}, map[string]any{}, 7}
	some := func(usual any) any {
		if random.IntN(12) == 0 {
			return odd[random.IntN(len(odd))]
		}
		return usual
	}
	object := func(fields map[string]any) any {
		for name, value := range fields {
			if fields[name] = some(value); random.IntN(30) == 0 {
				delete(fields, name)
			}
		}
		return some(fields)
	}
	running := &graphql.OperationContext{RecoverFunc: graphql.DefaultRecover}
	ctx := graphql.WithOperationContext(context.Background(), running)
	ctx = graphql.WithResponseContext(ctx, graphql.DefaultErrorPresenter, graphql.DefaultRecover)
	ec := newExecutionContext(running, &executableSchema{}, nil)
	read := func(input any, generated bool) (result model.VoteInput, err any) {
		defer func() {
			if cause := recover(); cause != nil {
				err = "panic"
			}
		}()
		if generated {
			result, err = ec.generated_unmarshalInputVoteInput(ctx, input)
		} else {
			result, err = ec.unmarshalInputVoteInput(ctx, input)
		}
		if failed, ok := err.(error); ok && failed != nil {
			return result, failed.Error()
		}
		return result, nil
	}
	for range 20000 {
		input := object(map[string]any{
			"usernames": []any{"A", "投票"}, "ballot": "main", "idempotencyKey": "k",
			"ticket": object(map[string]any{
				"value": "v", "version": "1.2.3", "remainingUsages": int64(5), "expiresAt": "e", "createdAt": "c",
			}),
		})
		got, gotErr := read(input, false)
		want, wantErr := read(input, true)
		if diff := cmp.Diff(wantErr, gotErr); diff != "" {
			t.Fatalf("%v: errors %s", input, diff)
		}
		if diff := cmp.Diff(want, got); wantErr == nil && diff != "" {
			t.Fatalf("%v: %s", input, diff)
		}
	}
}
