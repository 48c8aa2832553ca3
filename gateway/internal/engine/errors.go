package engine

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/littlevote/littlevote/gateway/graph/model"
	"github.com/littlevote/littlevote/gateway/internal/answer"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// Codes of errors in documents, in extensions.code. Errors of resolvers carry the codes of littlevote.status.v1.
const (
	codeParse         = "GRAPHQL_PARSE_FAILED"
	codeInvalid       = "GRAPHQL_VALIDATION_FAILED"
	codeLimit         = "LIMIT_EXCEEDED"
	codeOperation     = "OPERATION_RESOLUTION_FAILURE"
	codeIntrospection = "INTROSPECTION_DISABLED"
	codeBadInput      = "BAD_USER_INPUT"
	codeOverflow      = "COUNT_OVERFLOW"
)

// setCode makes a definite refusal of an error: sent again it fails again, and nothing happened.
func setCode(err *gqlerror.Error, code string) {
	if err.Extensions == nil {
		err.Extensions = make(map[string]any, 4)
	}
	err.Extensions["code"] = code
	err.Extensions["retryable"] = false
	err.Extensions["outcome"] = model.OutcomeNone.String()
}

const (
	maxErrors  = 10  // of one document; the rest says nothing new
	maxMessage = 500 // bytes; validators repeat names of any length
)

// shorten bounds what a bad document is told, in number and in length.
func shorten(list gqlerror.List) gqlerror.List {
	if len(list) > maxErrors {
		list = list[:maxErrors]
	}
	for _, err := range list {
		err.Message = shortenText(err.Message)
	}
	return list
}

func shortenText(text string) string {
	if len(text) <= maxMessage {
		return text
	}
	cut := maxMessage
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// presenter turns errors of execution into what the client sees.
type presenter struct {
	texts    *answer.Texts
	fallback answer.Language
	log      *slog.Logger
}

// resolve guards each resolver: whatever it returns is a refusal or becomes one, so that an error which reaches
// present without one is the executor's own, about the client's input.
func (p *presenter) resolve(ctx context.Context, next graphql.Resolver) (any, error) {
	value, err := next(ctx)
	if err == nil {
		return value, nil
	}
	var overflow *model.CountOverflowError
	if errors.As(err, &overflow) {
		return nil, err
	}
	return nil, answer.RefusalOf(err)
}

func (p *presenter) present(ctx context.Context, err error) *gqlerror.Error {
	var shown *gqlerror.Error
	if !errors.As(err, &shown) {
		shown = gqlerror.WrapPath(graphql.GetPath(ctx), err)
	}
	language := answer.Negotiate(graphql.GetOperationContext(ctx).Headers.Get("Accept-Language"), p.fallback)
	var overflow *model.CountOverflowError
	var refusal *answer.Refusal
	switch {
	case errors.As(err, &overflow):
		shown.Message = p.texts.Say(answer.CountOverflow, language)
		setCode(shown, codeOverflow)
		if mutates(ctx) { // a vote has totals only where it counts
			shown.Extensions["outcome"] = model.OutcomeCounted.String()
		}
	case errors.As(err, &refusal):
		p.refuse(ctx, shown, refusal, language)
	default:
		if code, _ := shown.Extensions["code"].(string); code == "" {
			setCode(shown, codeBadInput)
		}
		shown.Message = shortenText(shown.Message)
	}
	return shown
}

func (p *presenter) refuse(ctx context.Context, shown *gqlerror.Error, refusal *answer.Refusal, language answer.Language) {
	if refusal.Code == statusv1.Code_CODE_INTERNAL {
		p.log.ErrorContext(ctx, "internal error", "error", refusal, "path", shown.Path.String())
	}
	p.say(shown, refusal, language)
	unknown := refusal.Code == statusv1.Code_CODE_INTERNAL || refusal.Code == statusv1.Code_CODE_OUTCOME_UNKNOWN
	if unknown && mutates(ctx) { // nobody knows how far it came
		shown.Extensions["outcome"] = model.OutcomeUnknown.String()
	}
}

// say tells what a refusal holds.
func (p *presenter) say(shown *gqlerror.Error, refusal *answer.Refusal, language answer.Language) {
	shown.Message = p.texts.Say(refusal.Text, language)
	setCode(shown, p.texts.Name(refusal.Code))
	shown.Extensions["retryable"] = refusal.Retryable
	if refusal.Detail != "" {
		shown.Extensions["detail"] = shortenText(refusal.Detail)
	}
	if refusal.RetryAfter > 0 {
		shown.Extensions["retryAfterMs"] = int64((refusal.RetryAfter + time.Millisecond - 1) / time.Millisecond)
	}
}

func mutates(ctx context.Context) bool {
	return graphql.GetOperationContext(ctx).Operation.Operation == ast.Mutation
}

// recovered logs a panic, and makes an internal error of it.
func (p *presenter) recovered(ctx context.Context, cause any) error {
	p.log.ErrorContext(ctx, "panic", "panic", cause, "stack", strings.TrimSpace(string(debug.Stack())))
	return &answer.Refusal{Code: statusv1.Code_CODE_INTERNAL, Text: answer.Internal, Cause: errPanic}
}

var errPanic = errors.New("panic")
