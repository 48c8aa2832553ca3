package exec

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"github.com/littlevote/littlevote/gateway/graph/model"
)

// twin runs a selection through a hand-written and a generated function, and returns what each wrote and complained of.
func twin(t *testing.T, typeName, selection string, values map[string]any, written, generated func(*executionContext, context.Context, ast.SelectionSet) graphql.Marshaler) [2]string {
	t.Helper()
	doc, err := parser.ParseQuery(&ast.Source{Input: "query($t: Boolean = true, $f: Boolean = false) { x { " + selection + " } }"})
	if err != nil {
		t.Fatal(err)
	}
	// Validation fills in the definitions of the fields; the root field is not one of the schema.
	_ = validator.ValidateWithRules(parsedSchema, doc, rules.NewRules())
	set := doc.Operations[0].SelectionSet[0].(*ast.Field).SelectionSet
	define(set, parsedSchema.Types[typeName])
	var got [2]string
	for i, marshal := range []func(*executionContext, context.Context, ast.SelectionSet) graphql.Marshaler{written, generated} {
		running := &graphql.OperationContext{
			Doc: doc, Operation: doc.Operations[0], Variables: values, RecoverFunc: graphql.DefaultRecover,
			ResolverMiddleware: func(ctx context.Context, next graphql.Resolver) (any, error) { return next(ctx) },
		}
		ctx := graphql.WithOperationContext(context.Background(), running)
		ctx = graphql.WithResponseContext(ctx, graphql.DefaultErrorPresenter, graphql.DefaultRecover)
		ctx = graphql.WithFieldContext(ctx, &graphql.FieldContext{
			Field: graphql.CollectedField{Field: &ast.Field{Alias: "x", Name: "x"}, Selections: set},
		})
		ec := newExecutionContext(running, &executableSchema{}, nil)
		var text bytes.Buffer
		marshal(ec, ctx, set).MarshalGQL(&text)
		got[i] = text.String() + complaints(graphql.GetErrors(ctx))
	}
	return got
}

// complaints is the first error: what is written by hand stops there, since its object is null already.
func complaints(list gqlerror.List) string {
	if len(list) == 0 {
		return ""
	}
	return fmt.Sprintf("\n%s at %s %v", list[0].Message, list[0].Path, list[0].Locations)
}

// define does what the validator does for fields of a known type.
func define(set ast.SelectionSet, of *ast.Definition) {
	for _, selection := range set {
		switch selection := selection.(type) {
		case *ast.Field:
			selection.ObjectDefinition = of
			selection.Definition = of.Fields.ForName(selection.Name)
			if len(selection.SelectionSet) > 0 {
				define(selection.SelectionSet, parsedSchema.Types[selection.Definition.Type.Name()])
			}
		case *ast.InlineFragment:
			selection.ObjectDefinition = of
			define(selection.SelectionSet, of)
		}
	}
}

// randomSelection selects fields of a type in any order, some of them often, some under other names or conditions.
func randomSelection(random *rand.Rand, typeName string) string {
	fields := []string{"__typename"}
	for _, field := range parsedSchema.Types[typeName].Fields {
		name := field.Name
		if name == "totals" {
			name += " { " + randomSelection(random, "UserVote") + " }"
		}
		fields = append(fields, name)
	}
	var text strings.Builder
	for i := range 1 + random.IntN(12) {
		field := fields[random.IntN(len(fields))]
		switch random.IntN(6) {
		case 0:
			fmt.Fprintf(&text, "a%d: ", i)
		case 1:
			fmt.Fprintf(&text, "... on %s { %s } ", typeName, field)
			continue
		case 2:
			fmt.Fprintf(&text, "... @include(if: $%s) { %s } ", []string{"t", "f"}[random.IntN(2)], field)
			continue
		}
		text.WriteString(field + " ")
	}
	return text.String()
}

func TestWrittenObjectsEqualGeneratedOnes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	words := []string{"", "A", "投票", "a\"b\\c", "\x00\x1f\n\r\t", "\u2028</script>", "😀"}
	word := func() string { return words[random.IntN(len(words))] }
	userVote := func() *model.UserVote {
		counts := []int64{0, 1, 1<<31 - 1, 1 << 31, 1<<63 - 1}
		return &model.UserVote{
			Ballot: word(), Username: word(), Count: counts[random.IntN(len(counts))], UpdatedAt: word(), Stale: random.IntN(2) == 0, AsOf: word(),
		}
	}
	values := map[string]any{"t": true, "f": false}
	for range 3000 {
		vote := userVote()
		ticket := &model.Ticket{Value: word(), Version: word(), RemainingUsages: random.Int32(), ExpiresAt: word(), CreatedAt: word()}
		response := &model.VoteResponse{
			Success: random.IntN(2) == 0, Message: word(), Usernames: []string{}, Timestamp: word(), Code: word(),
			Outcome: model.OutcomeUnknown, Retryable: random.IntN(2) == 0,
		}
		for range random.IntN(3) {
			response.Usernames = append(response.Usernames, word())
			response.Totals = append(response.Totals, userVote())
		}
		if random.IntN(2) == 0 {
			after, id, token := random.Int32(), word(), word()
			response.RetryAfterMs, response.VoteID, response.Token = &after, &id, &token
		}
		for typeName, functions := range map[string][2]func(*executionContext, context.Context, ast.SelectionSet) graphql.Marshaler{
			"UserVote": {
				func(ec *executionContext, ctx context.Context, sel ast.SelectionSet) graphql.Marshaler {
					return ec._UserVote(ctx, sel, vote)
				},
				func(ec *executionContext, ctx context.Context, sel ast.SelectionSet) graphql.Marshaler {
					return ec.generated_UserVote(ctx, sel, vote)
				},
			},
			"Ticket": {
				func(ec *executionContext, ctx context.Context, sel ast.SelectionSet) graphql.Marshaler {
					return ec._Ticket(ctx, sel, ticket)
				},
				func(ec *executionContext, ctx context.Context, sel ast.SelectionSet) graphql.Marshaler {
					return ec.generated_Ticket(ctx, sel, ticket)
				},
			},
			"VoteResponse": {
				func(ec *executionContext, ctx context.Context, sel ast.SelectionSet) graphql.Marshaler {
					return ec._VoteResponse(ctx, sel, response)
				},
				func(ec *executionContext, ctx context.Context, sel ast.SelectionSet) graphql.Marshaler {
					return ec.generated_VoteResponse(ctx, sel, response)
				},
			},
		} {
			selection := randomSelection(random, typeName)
			if got := twin(t, typeName, selection, values, functions[0], functions[1]); got[0] != got[1] {
				t.Fatalf("%s { %s}\nwritten   %s\ngenerated %s", typeName, selection, got[0], got[1])
			}
		}
	}
}

// A field that is added to the schema must be added here.
func TestEveryFieldIsWritten(t *testing.T) {
	for _, name := range []string{"UserVote", "Ticket", "VoteResponse"} {
		for _, field := range parsedSchema.Types[name].Fields {
			selection := field.Name
			if field.Name == "totals" {
				selection += " { username }"
			}
			got := twin(t, name, selection, nil,
				func(ec *executionContext, ctx context.Context, sel ast.SelectionSet) graphql.Marshaler {
					switch name {
					case "UserVote":
						return ec._UserVote(ctx, sel, &model.UserVote{})
					case "Ticket":
						return ec._Ticket(ctx, sel, &model.Ticket{})
					default:
						return ec._VoteResponse(ctx, sel, &model.VoteResponse{Usernames: []string{}, Totals: []*model.UserVote{}})
					}
				},
				func(ec *executionContext, ctx context.Context, sel ast.SelectionSet) graphql.Marshaler {
					switch name {
					case "UserVote":
						return ec.generated_UserVote(ctx, sel, &model.UserVote{})
					case "Ticket":
						return ec.generated_Ticket(ctx, sel, &model.Ticket{})
					default:
						return ec.generated_VoteResponse(ctx, sel, &model.VoteResponse{Usernames: []string{}, Totals: []*model.UserVote{}})
					}
				})
			if got[0] != got[1] {
				t.Errorf("%s.%s: written %s, generated %s", name, field.Name, got[0], got[1])
			}
		}
	}
}
