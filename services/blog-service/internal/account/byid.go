package account

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/types/known/timestamppb"

	blogv1 "github.com/littlevote/littlevote/proto/gen/littlevote/blog/v1"

	"github.com/littlevote/littlevote/services/blog-service/internal/limit"
	"github.com/littlevote/littlevote/services/blog-service/internal/refusal"
	"github.com/littlevote/littlevote/services/blog-service/internal/request"
	"github.com/littlevote/littlevote/services/blog-service/internal/store"
)

// LoginByID implements AccountServiceHandler. It asks for no password: its callers are gateways that may say who somebody is
// anyway, and one does so for outsiders only where it is set up to. The limits of logins hold.
func (s *Service) LoginByID(ctx context.Context, req *blogv1.LoginByIDRequest) (*blogv1.LoginByIDResponse, error) {
	if err := request.Tenant(req.GetTenant()); err != nil {
		return nil, err
	}
	id, ok := request.UserID(req.GetId())
	if !ok {
		return nil, refusal.NotFound("user")
	}
	address, err := limit.Address(req.GetAddress())
	if err != nil {
		return nil, err
	}
	if err := s.limits.Take(ctx, limit.Rule{What: "login-address", Who: address, Rate: s.cfg.LoginsPerAddress}); err != nil {
		return nil, s.refuse(ctx, "login", err)
	}
	found, err := s.store.Users(ctx, []int64{id})
	if err != nil {
		return nil, s.refuse(ctx, "login", fmt.Errorf("find the user: %w", err))
	}
	for _, user := range found {
		if user.Tenant == req.GetTenant() {
			return s.beginFor(ctx, user)
		}
	}
	return nil, refusal.NotFound("user")
}

func (s *Service) beginFor(ctx context.Context, user store.User) (*blogv1.LoginByIDResponse, error) {
	token, begun, err := s.sessions.begin(ctx, user)
	if err != nil {
		return nil, s.refuse(ctx, "login", sessionsAway(err))
	}
	s.metrics.count(ctx, "login", "done")
	return &blogv1.LoginByIDResponse{
		Token: token, User: message(user), ExpiresAt: timestamppb.New(begun.expiresAt), EndsAt: timestamppb.New(begun.endsAt),
	}, nil
}
