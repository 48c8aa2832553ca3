package identity

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/littlevote/littlevote/libs/service"
	blogv1 "github.com/littlevote/littlevote/proto/gen/littlevote/blog/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// sessionTimeout is how long a check may take.
const sessionTimeout = 2 * time.Second

// blogSessions are those of the blog-service.
type blogSessions struct{ client blogv1.AccountServiceClient }

// NewSessions returns the sessions of the blog-service.
func NewSessions(client blogv1.AccountServiceClient) Sessions { return blogSessions{client} }

// Check is part of Sessions. It asks each time: a logout counts at once, everywhere.
func (s blogSessions) Check(ctx context.Context, token string) (Session, error) {
	ctx, cancel := context.WithTimeout(ctx, sessionTimeout)
	defer cancel()
	found, err := s.client.CheckSession(ctx, &blogv1.CheckSessionRequest{Token: token})
	if err == nil {
		return Session{User: userPrefix + found.GetUser().GetId(), Tenant: found.GetTenant()}, nil
	}
	detail, said := service.Detail(err)
	switch {
	case said && detail.GetCode() == statusv1.Code_CODE_UNAUTHENTICATED:
		return Session{}, wrong(err)
	case said && detail.GetCode() == statusv1.Code_CODE_INVALID_ARGUMENT:
		return Session{}, wrong(err)
	case said && detail.GetRetryable():
		refused := away(err)
		refused.RetryAfter = max(refused.RetryAfter, detail.GetRetryAfter().AsDuration())
		return Session{}, refused
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.ResourceExhausted:
		return Session{}, away(err)
	default:
		return Session{}, errors.Join(errors.New("the session can't be checked"), err)
	}
}
