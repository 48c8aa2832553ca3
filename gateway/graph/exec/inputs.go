package exec

import (
	"context"
	"math"

	"github.com/littlevote/littlevote/gateway/graph/model"
)

// The engine has checked variables against their types before, so that nearly every input has the shape that is read
// here without a context and a path for each field. What has another shape is left to the generated functions, which know all rules and
// all errors.

func (ec *executionContext) unmarshalInputVoteInput(ctx context.Context, obj any) (model.VoteInput, error) {
	fields, ok := obj.(map[string]any)
	if !ok {
		return ec.generated_unmarshalInputVoteInput(ctx, obj)
	}
	var input model.VoteInput
	r := reader{fields: fields}
	input.Usernames = r.texts("usernames")
	input.Ballot = r.optional("ballot")
	input.IdempotencyKey = r.optional("idempotencyKey")
	if _, isObject := fields["ticket"].(map[string]any); !isObject || r.odd {
		return ec.generated_unmarshalInputVoteInput(ctx, obj)
	}
	ticket, err := ec.unmarshalNTicketInput2ᚖgithubᚗcomᚋlittlevoteᚋlittlevoteᚋgatewayᚋgraphᚋmodelᚐTicketInput(ctx, fields["ticket"])
	if err != nil {
		return ec.generated_unmarshalInputVoteInput(ctx, obj) // for the path of the error
	}
	input.Ticket = ticket
	return input, nil
}

func (ec *executionContext) unmarshalInputTicketInput(ctx context.Context, obj any) (model.TicketInput, error) {
	fields, ok := obj.(map[string]any)
	if !ok {
		return ec.generated_unmarshalInputTicketInput(ctx, obj)
	}
	r := reader{fields: fields}
	input := model.TicketInput{
		Value: r.text("value"), Version: r.text("version"), RemainingUsages: r.int("remainingUsages"),
		ExpiresAt: r.text("expiresAt"), CreatedAt: r.text("createdAt"),
	}
	if r.odd {
		return ec.generated_unmarshalInputTicketInput(ctx, obj)
	}
	return input, nil
}

// reader reads fields of the expected types, and remembers if one was of another.
type reader struct {
	fields map[string]any
	odd    bool
}

func (r *reader) text(name string) string {
	text, ok := r.fields[name].(string)
	r.odd = r.odd || !ok
	return text
}

// optional returns nil where the field is absent or null.
func (r *reader) optional(name string) *string {
	if r.fields[name] == nil {
		return nil
	}
	text := r.text(name)
	return &text
}

func (r *reader) int(name string) int32 {
	n, ok := r.fields[name].(int64)
	if !ok || n < math.MinInt32 || n > math.MaxInt32 {
		r.odd = true
		return 0
	}
	return int32(n)
}

func (r *reader) texts(name string) []string {
	list, ok := r.fields[name].([]any)
	texts := make([]string, len(list))
	for i, item := range list {
		var isText bool
		texts[i], isText = item.(string)
		ok = ok && isText
	}
	r.odd = r.odd || !ok
	return texts
}
