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
	errTaken = errors.New("ballots: another ballot has this name")
	errOpen  = errors.New("ballots: the ballot may still take votes")
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

// forbidden says why the ballot's state does not allow something.
func forbidden(format string, args ...any) error {
	return service.Error(connect.CodeFailedPrecondition,
		&statusv1.ErrorDetail{Code: statusv1.Code_CODE_FAILED_PRECONDITION, Outcome: statusv1.Outcome_OUTCOME_NONE}, format, args...)
}

// refusal is the answer for an error that is definite; nil if it is not.
func refusal(ballot string, err error) error {
	answer := func(code connect.Code, reason statusv1.Code, format string, args ...any) error {
		return service.Error(code, &statusv1.ErrorDetail{Code: reason, Outcome: statusv1.Outcome_OUTCOME_NONE}, format, args...)
	}
	var known *connect.Error
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, pgledger.ErrUnknownBallot):
		return answer(connect.CodeNotFound, statusv1.Code_CODE_BALLOT_NOT_FOUND, "there is no ballot %q", ballot)
	case errors.Is(err, pgledger.ErrUnknownVoid):
		return answer(connect.CodeNotFound, statusv1.Code_CODE_NOT_FOUND, "id: ballot %q has no such void", ballot)
	case errors.Is(err, errTaken):
		return answer(connect.CodeAlreadyExists, statusv1.Code_CODE_ALREADY_EXISTS, "name: there is another ballot %q", ballot)
	case errors.Is(err, pgledger.ErrVoidTaken):
		return answer(connect.CodeAlreadyExists, statusv1.Code_CODE_ALREADY_EXISTS, "id: another void has it")
	case errors.Is(err, pgledger.ErrSelfApproval):
		return answer(connect.CodePermissionDenied, statusv1.Code_CODE_PERMISSION_DENIED,
			"actor: a void needs the approval of somebody else than who proposed it")
	case errors.Is(err, errOpen), errors.Is(err, pgledger.ErrNotClosed):
		return forbidden("the ballot may still take votes: close it first")
	case errors.Is(err, pgledger.ErrNotCertified):
		return forbidden("the ballot is not certified")
	case errors.Is(err, pgledger.ErrManyBallots):
		return forbidden("the tenant has %d ballots, the most that it may have", pgledger.MaxBallots)
	case errors.Is(err, pgledger.ErrManyCandidates):
		return forbidden("the ballot has votes for more than %d candidates: there is no result of so many", pgledger.MaxResultCandidates)
	case errors.Is(err, pgledger.ErrManyVoids):
		return forbidden("the ballot has %d voids, the most that it may have", pgledger.MaxVoids)
	case errors.Is(err, pgledger.ErrDrift):
		return answer(connect.CodeFailedPrecondition, statusv1.Code_CODE_INTERNAL,
			"the ballot's counts are not the sum of its ledger: `littlevote fsck` says where")
	}
	return nil
}

// failed is the answer for what went wrong in an operation.
func (s *Service) failed(ctx context.Context, operation, ballot string, err error) error {
	if errors.Is(err, pgledger.ErrDrift) {
		s.Log.ErrorContext(ctx, "a ballot cannot be certified", "ballot", ballot, "error", err)
	}
	if refused := refusal(ballot, err); refused != nil {
		return refused
	}
	// Postgres or Redis may have been changed before whatever went wrong.
	detail := &statusv1.ErrorDetail{
		Code: statusv1.Code_CODE_UNAVAILABLE, Outcome: statusv1.Outcome_OUTCOME_UNKNOWN, Retryable: true,
		RetryAfter: durationpb.New(pauseBetween),
	}
	var waits *waitingError
	if errors.As(err, &waits) {
		return service.Error(connect.CodeUnavailable, detail, "still waiting for %s; call again", waits.what)
	}
	s.Log.WarnContext(ctx, "an operation on a ballot failed", "operation", operation, "ballot", ballot, "error", err)
	return service.Error(connect.CodeUnavailable, detail, "Postgres does not answer; call again")
}
