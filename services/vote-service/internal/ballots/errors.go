package ballots

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/service"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

var (
	errNotFound = errors.New("ballots: there is no such ballot")
	errTaken    = errors.New("ballots: another ballot has this name")
	errOpen     = errors.New("ballots: the ballot may still take votes")
)

// waitingError says what a call was waiting for when its time was over.
type waitingError struct{ what string }

func (e *waitingError) Error() string { return "ballots: still waiting for " + e.what }

func waiting(format string, args ...any) error { return &waitingError{fmt.Sprintf(format, args...)} }

// invalid names the field that breaks a rule.
func invalid(format string, args ...any) error {
	return service.Error(connect.CodeInvalidArgument,
		&statusv1.ErrorDetail{Code: statusv1.Code_CODE_INVALID_ARGUMENT, Outcome: statusv1.Outcome_OUTCOME_NONE}, format, args...)
}

// failed is the answer for what went wrong in an operation.
func (s *Service) failed(ctx context.Context, operation, ballot string, err error) error {
	detail := &statusv1.ErrorDetail{Code: statusv1.Code_CODE_INVALID_ARGUMENT, Outcome: statusv1.Outcome_OUTCOME_NONE}
	var waits *waitingError
	switch {
	case errors.Is(err, errNotFound), errors.Is(err, pgledger.ErrUnknownBallot):
		detail.Code = statusv1.Code_CODE_BALLOT_NOT_FOUND
		return service.Error(connect.CodeNotFound, detail, "there is no ballot %q", ballot)
	case errors.Is(err, errTaken):
		return service.Error(connect.CodeAlreadyExists, detail, "name: there is another ballot %q", ballot)
	case errors.Is(err, errOpen), errors.Is(err, pgledger.ErrNotClosed):
		return service.Error(connect.CodeFailedPrecondition, detail, "the ballot may still take votes: close it first")
	case errors.Is(err, pgledger.ErrDrift):
		s.Log.ErrorContext(ctx, "a ballot cannot be certified", "ballot", ballot, "error", err)
		detail.Code = statusv1.Code_CODE_INTERNAL
		return service.Error(connect.CodeFailedPrecondition, detail,
			"the ballot's counts are not the sum of its ledger: `littlevote fsck` says where")
	}
	// Postgres or Redis may have been changed before whatever went wrong.
	detail = &statusv1.ErrorDetail{
		Code: statusv1.Code_CODE_UNAVAILABLE, Outcome: statusv1.Outcome_OUTCOME_UNKNOWN, Retryable: true,
		RetryAfter: durationpb.New(pauseBetween),
	}
	if errors.As(err, &waits) {
		return service.Error(connect.CodeUnavailable, detail, "still waiting for %s; call again", waits.what)
	}
	s.Log.WarnContext(ctx, "an operation on a ballot failed", "operation", operation, "ballot", ballot, "error", err)
	return service.Error(connect.CodeUnavailable, detail, "Postgres does not answer; call again")
}
