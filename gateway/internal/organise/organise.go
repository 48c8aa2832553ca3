package organise

import (
	"context"
	"errors"

	"google.golang.org/grpc/status"

	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/identity"
	"github.com/littlevote/littlevote/gateway/internal/reads"
	"github.com/littlevote/littlevote/gateway/internal/tenant"
	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// Organiser acts for organisers. It is safe for concurrent use.
type Organiser struct {
	client ballotv1.BallotServiceClient
	calls  *reads.Calls
}

// New returns an organiser; it has nothing to close.
func New(client ballotv1.BallotServiceClient, calls *reads.Calls) *Organiser {
	return &Organiser{client: client, calls: calls}
}

// allowed returns who acts.
func allowed(ctx context.Context) (identity.Identity, error) {
	who := identity.From(ctx)
	switch {
	case who.Voter == "":
		return who, &answer.Refusal{Code: statusv1.Code_CODE_UNAUTHENTICATED, Text: answer.Unauthenticated}
	case !who.Organiser():
		return who, &answer.Refusal{Code: statusv1.Code_CODE_PERMISSION_DENIED, Text: answer.PermissionDenied}
	default:
		return who, nil
	}
}

// allowedOn returns who acts and the full name of their ballot.
func allowedOn(ctx context.Context, id string) (identity.Identity, string, error) {
	who, err := allowed(ctx)
	if err != nil {
		return who, "", err
	}
	ballot, ok := who.Tenant.Ballot(&id)
	if !ok {
		return who, "", answer.NotValid(answer.BallotFormat)
	}
	return who, ballot.Full(), nil
}

// call makes a call; what the service says of the request is passed on.
func call[R any](ctx context.Context, o *Organiser, rpc func(ctx context.Context) (R, error)) (R, error) {
	response, err := reads.Call(ctx, o.calls, rpc)
	var refused *answer.Refusal
	if !errors.As(err, &refused) {
		return response, err
	}
	switch refused.Code {
	case statusv1.Code_CODE_INVALID_ARGUMENT, statusv1.Code_CODE_FAILED_PRECONDITION, statusv1.Code_CODE_ALREADY_EXISTS,
		statusv1.Code_CODE_PERMISSION_DENIED, statusv1.Code_CODE_NOT_FOUND:
		refused.Detail = status.Convert(refused.Cause).Message()
	}
	return response, refused
}

// notValid refuses an argument, with what was expected of it.
func notValid(detail string) error {
	return &answer.Refusal{Code: statusv1.Code_CODE_INVALID_ARGUMENT, Text: answer.Invalid, Detail: detail}
}

// own returns the id of a ballot of the tenant's; another tenant's is never passed on, whatever a service sends.
func own(who identity.Identity, full string) (string, error) {
	ballot := tenant.Of(full)
	if ballot.Tenant != who.Tenant {
		return "", answer.RefusalOf(errors.New("a service sent another tenant's ballot"))
	}
	return ballot.ID, nil
}
