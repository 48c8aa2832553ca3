// Package refusal makes the errors that callers of the blog-service see: each with a code of ours, and what to do about it.
package refusal

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/littlevote/littlevote/libs/loader"
	"github.com/littlevote/littlevote/libs/service"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"

	"github.com/littlevote/littlevote/services/blog-service/internal/store"
)

const (
	// soon is when a queue may have room again.
	soon = 100 * time.Millisecond
	// later is when a store that is away may be back.
	later = time.Second
)

func final(status connect.Code, code statusv1.Code, format string, args ...any) error {
	return service.Error(status, &statusv1.ErrorDetail{Code: code, Outcome: statusv1.Outcome_OUTCOME_NONE}, format, args...)
}

func again(status connect.Code, code statusv1.Code, outcome statusv1.Outcome, after time.Duration, format string, args ...any) error {
	return service.Error(status, &statusv1.ErrorDetail{
		Code: code, Outcome: outcome, Retryable: true, RetryAfter: durationpb.New(after),
	}, format, args...)
}

// Invalid says which rule of its fields a request breaks.
func Invalid(format string, args ...any) error {
	return final(connect.CodeInvalidArgument, statusv1.Code_CODE_INVALID_ARGUMENT, format, args...)
}

// KeyReused says that an idempotency key came with other contents before.
func KeyReused() error {
	return final(connect.CodeInvalidArgument, statusv1.Code_CODE_KEY_REUSED, "idempotency_key: it was used before, for something else")
}

// NotFound says that there is no such thing.
func NotFound(what string) error {
	return final(connect.CodeNotFound, statusv1.Code_CODE_NOT_FOUND, "there is no such %s", what)
}

// Exists says that there is one already.
func Exists(what string) error {
	return final(connect.CodeAlreadyExists, statusv1.Code_CODE_ALREADY_EXISTS, "there is such a %s already", what)
}

// Precondition says that the state of the thing forbids it.
func Precondition(why string) error {
	return final(connect.CodeFailedPrecondition, statusv1.Code_CODE_FAILED_PRECONDITION, "%s", why)
}

// Unauthenticated says that credentials are wrong, and not which of them.
func Unauthenticated(why string) error {
	return final(connect.CodeUnauthenticated, statusv1.Code_CODE_UNAUTHENTICATED, "%s", why)
}

// Denied says that the caller may not do this.
func Denied(why string) error {
	return final(connect.CodePermissionDenied, statusv1.Code_CODE_PERMISSION_DENIED, "%s", why)
}

// RateLimited says that the caller sends too fast.
func RateLimited(after time.Duration) error {
	return again(connect.CodeResourceExhausted, statusv1.Code_CODE_RATE_LIMITED, statusv1.Outcome_OUTCOME_NONE, after, "too many requests")
}

// Overloaded says that a queue is full.
func Overloaded(what string) error {
	return again(connect.CodeResourceExhausted, statusv1.Code_CODE_OVERLOADED, statusv1.Outcome_OUTCOME_NONE, soon, "too many %s wait", what)
}

// Unavailable says that something is away, and that nothing has happened.
func Unavailable(what string) error {
	return again(connect.CodeUnavailable, statusv1.Code_CODE_UNAVAILABLE, statusv1.Outcome_OUTCOME_NONE, later, "%s", what)
}

// Unknown says that something went away in the middle, and what it did before is not known.
func Unknown(what string) error {
	return again(connect.CodeUnavailable, statusv1.Code_CODE_OUTCOME_UNKNOWN, statusv1.Outcome_OUTCOME_UNKNOWN, later, "%s", what)
}

// Of is the refusal for an error of a store, which is logged; an error that is a refusal stays, and so does that of a caller
// who has gone.
func Of(ctx context.Context, log *slog.Logger, what string, err error) error {
	var made *connect.Error
	switch {
	case errors.As(err, &made):
		return made
	case errors.Is(err, loader.ErrOverloaded):
		return Overloaded("reads")
	case errors.Is(err, context.Canceled):
		return err
	}
	log.WarnContext(ctx, what, "error", err)
	if errors.Is(err, store.ErrUnknown) {
		return Unknown("the database went away in the middle")
	}
	return Unavailable("the database does not answer")
}
