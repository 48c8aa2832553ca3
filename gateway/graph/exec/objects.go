package exec

import (
	"context"
	"io"
	"strconv"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/littlevote/littlevote/gateway/graph/model"
)

// The objects of this schema hold plain values only. The generated code makes a context, a closure or two and a boxed
// value for each of these; the functions below write them down at once. They mean the same, which objects_test.go holds
// against the generated ones, kept under another name for that.

// object is a JSON object that is written already.
type object []byte

// MarshalGQL is part of graphql.Marshaler.
func (o object) MarshalGQL(w io.Writer) { _, _ = w.Write(o) }

const perField = 48 // bytes, about

func (ec *executionContext) _UserVote(ctx context.Context, sel ast.SelectionSet, obj *model.UserVote) graphql.Marshaler {
	fields := graphql.CollectFields(ec.OperationContext, sel, userVoteImplementors)
	out, err := appendUserVote(make(object, 0, perField*len(fields)), fields, obj)
	if err != nil {
		ec.fieldError(ctx, err)
		return graphql.Null
	}
	return out
}

// fieldError says that a field of an object has no value.
type fieldError struct {
	object string
	field  graphql.CollectedField
	err    error
}

func (ec *executionContext) fieldError(ctx context.Context, failed *fieldError) {
	ctx = graphql.WithFieldContext(ctx, &graphql.FieldContext{Object: failed.object, Field: failed.field})
	ec.Error(ctx, graphql.AddFieldLocationToError(ctx, failed.err))
}

func appendUserVote(out object, fields []graphql.CollectedField, obj *model.UserVote) (object, *fieldError) {
	out = append(out, '{')
	for i, field := range fields {
		out = appendName(out, i, field.Alias)
		switch field.Name {
		case "__typename":
			out = appendString(out, "UserVote")
		case "ballot":
			out = appendString(out, obj.Ballot)
		case "username":
			out = appendString(out, obj.Username)
		case "votes":
			votes, err := obj.Votes()
			if err != nil {
				return nil, &fieldError{object: "UserVote", field: field, err: err}
			}
			out = strconv.AppendInt(out, int64(votes), 10)
		case "votesExact":
			out = appendString(out, obj.VotesExact())
		case "updatedAt":
			out = appendString(out, obj.UpdatedAt)
		case "stale":
			out = strconv.AppendBool(out, obj.Stale)
		case "asOf":
			out = appendString(out, obj.AsOf)
		}
	}
	return append(out, '}'), nil
}

func (ec *executionContext) _Ticket(_ context.Context, sel ast.SelectionSet, obj *model.Ticket) graphql.Marshaler {
	fields := graphql.CollectFields(ec.OperationContext, sel, ticketImplementors)
	out := make(object, 0, perField*len(fields)+len(obj.Value))
	out = append(out, '{')
	for i, field := range fields {
		out = appendName(out, i, field.Alias)
		switch field.Name {
		case "__typename":
			out = appendString(out, "Ticket")
		case "value":
			out = appendString(out, obj.Value)
		case "version":
			out = appendString(out, obj.Version)
		case "remainingUsages":
			out = strconv.AppendInt(out, int64(obj.RemainingUsages), 10)
		case "expiresAt":
			out = appendString(out, obj.ExpiresAt)
		case "createdAt":
			out = appendString(out, obj.CreatedAt)
		}
	}
	return append(out, '}')
}

func (ec *executionContext) _VoteResponse(ctx context.Context, sel ast.SelectionSet, obj *model.VoteResponse) graphql.Marshaler {
	fields := graphql.CollectFields(ec.OperationContext, sel, voteResponseImplementors)
	out := make(object, 0, perField*len(fields))
	out = append(out, '{')
	for i, field := range fields {
		out = appendName(out, i, field.Alias)
		switch field.Name {
		case "__typename":
			out = appendString(out, "VoteResponse")
		case "success":
			out = strconv.AppendBool(out, obj.Success)
		case "message":
			out = appendString(out, obj.Message)
		case "usernames":
			out = appendStrings(out, obj.Usernames)
		case "timestamp":
			out = appendString(out, obj.Timestamp)
		case "code":
			out = appendString(out, obj.Code)
		case "outcome":
			out = appendString(out, obj.Outcome.String())
		case "retryable":
			out = strconv.AppendBool(out, obj.Retryable)
		case "retryAfterMs":
			out = appendOptionalInt(out, obj.RetryAfterMs)
		case "voteId":
			out = appendOptionalString(out, obj.VoteID)
		case "token":
			out = appendOptionalString(out, obj.Token)
		case "totals":
			var failed bool
			if out, failed = ec.appendTotals(ctx, out, field, obj.Totals); failed {
				return graphql.Null
			}
		}
	}
	return append(out, '}')
}

// appendTotals tells whether one of the totals has no value; its error is recorded.
func (ec *executionContext) appendTotals(
	ctx context.Context, out object, field graphql.CollectedField, totals []*model.UserVote,
) (object, bool) {
	fields := graphql.CollectFields(ec.OperationContext, field.Selections, userVoteImplementors)
	out = append(out, '[')
	for i, total := range totals {
		if i > 0 {
			out = append(out, ',')
		}
		var err *fieldError
		if out, err = appendUserVote(out, fields, total); err != nil {
			ctx = graphql.WithFieldContext(ctx, &graphql.FieldContext{Object: "VoteResponse", Field: field})
			ec.fieldError(graphql.WithFieldContext(ctx, &graphql.FieldContext{Index: &i}), err)
			return nil, true
		}
	}
	return append(out, ']'), false
}

// appendName begins the i-th member of an object.
func appendName(out object, i int, name string) object {
	if i > 0 {
		out = append(out, ',')
	}
	out = append(out, '"')
	out = append(out, name...) // letters, digits and underscores only
	return append(out, '"', ':')
}

func appendStrings(out object, list []string) object {
	out = append(out, '[')
	for i, text := range list {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendString(out, text)
	}
	return append(out, ']')
}

func appendOptionalInt(out object, n *int32) object {
	if n == nil {
		return append(out, "null"...)
	}
	return strconv.AppendInt(out, int64(*n), 10)
}

func appendOptionalString(out object, text *string) object {
	if text == nil {
		return append(out, "null"...)
	}
	return appendString(out, *text)
}

func appendString(out object, text string) object {
	const hex = "0123456789ABCDEF"
	out = append(out, '"')
	start := 0
	for i := range len(text) {
		c := text[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		out = append(out, text[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			out = append(out, '\\', c)
		case '\t':
			out = append(out, '\\', 't')
		case '\r':
			out = append(out, '\\', 'r')
		case '\n':
			out = append(out, '\\', 'n')
		default:
			out = append(out, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		}
	}
	out = append(out, text[start:]...)
	return append(out, '"')
}
