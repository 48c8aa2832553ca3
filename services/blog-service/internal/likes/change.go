package likes

import (
	"context"
	"sync"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/littlevote/littlevote/libs/service"
	blogv1 "github.com/littlevote/littlevote/proto/gen/littlevote/blog/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"

	"github.com/littlevote/littlevote/services/blog-service/internal/limit"
)

// change is one on its way; it waits for its verdict.
type change struct {
	*blogv1.LikeChange

	network string // whom the address counts for; empty: not known
	verdict *blogv1.LikeVerdict
}

// ChangeLikes implements LikeServiceHandler. What is refused here, for its form, by a limit or for its item, goes no
// further; the rest goes to the vote-service, the likes in one call.
func (s *Service) ChangeLikes(ctx context.Context, req *blogv1.ChangeLikesRequest) (*blogv1.ChangeLikesResponse, error) {
	if n := len(req.GetChanges()); n == 0 || n > maxItems {
		return nil, invalid("changes: expected 1 to %d", maxItems)
	}
	changes := make([]*change, len(req.GetChanges()))
	for i, c := range req.GetChanges() {
		changes[i] = &change{LikeChange: c}
		changes[i].checkForm()
	}
	s.limit(ctx, open(changes))
	s.findItems(ctx, open(changes))
	s.decide(ctx, open(changes))
	response := &blogv1.ChangeLikesResponse{Verdicts: make([]*blogv1.LikeVerdict, len(changes))}
	for i, c := range changes {
		response.Verdicts[i] = c.verdict
	}
	return response, nil
}

// open are the changes that have no verdict yet.
func open(changes []*change) []*change {
	left := make([]*change, 0, len(changes))
	for _, c := range changes {
		if c.verdict == nil {
			left = append(left, c)
		}
	}
	return left
}

func (c *change) checkForm() {
	var err error
	c.network, err = limit.Address(c.GetAddress())
	switch {
	case err != nil:
		c.refuse(statusv1.Code_CODE_INVALID_ARGUMENT, "address: expected an IP address")
	case !tenant.MatchString(c.GetTenant()):
		c.refuse(statusv1.Code_CODE_INVALID_ARGUMENT, "tenant: expected at most 32 of a-z, 0-9 and the hyphen")
	case c.GetVoter() == "" || len(c.GetVoter()) > maxVoter:
		c.refuse(statusv1.Code_CODE_INVALID_ARGUMENT, "voter: expected 1 to 128 bytes")
	case !item.MatchString(c.GetItem()):
		c.refuse(statusv1.Code_CODE_INVALID_ARGUMENT, "item: expected 1 to 64 of A-Z, a-z, 0-9 and _ : -")
	}
}

// refuse gives a definite refusal that the same change will always get.
func (c *change) refuse(code statusv1.Code, detail string) {
	c.verdict = &blogv1.LikeVerdict{
		Code: code, Outcome: statusv1.Outcome_OUTCOME_NONE, Detail: detail, DecidedAt: timestamppb.Now(),
	}
}

// refuseWith gives a definite refusal in the words of a service behind.
func (c *change) refuseWith(detail *statusv1.ErrorDetail, text string) {
	c.verdict = &blogv1.LikeVerdict{
		Code: detail.GetCode(), Outcome: statusv1.Outcome_OUTCOME_NONE, Retryable: detail.GetRetryable(),
		RetryAfter: detail.GetRetryAfter(), Detail: text, DecidedAt: timestamppb.Now(),
	}
}

// limit refuses the changes of those who send too fast. An address is counted first, so that somebody with many accounts
// does not use up those of others, and an item last.
func (s *Service) limit(ctx context.Context, changes []*change) {
	var wait sync.WaitGroup
	for _, c := range changes {
		wait.Go(func() {
			for _, one := range []struct {
				kind, key string
				rate      Rate
			}{
				{"address", c.network, s.cfg.Address},
				{"voter", c.GetTenant() + ":" + c.GetVoter(), s.cfg.Voter},
				{"item", c.GetTenant() + ":" + c.GetItem(), s.cfg.Item},
			} {
				if one.rate.PerSecond == 0 || one.key == "" {
					continue
				}
				if retry, ok := s.backends.Limiter.Allow(ctx, one.kind+":"+one.key, one.rate); !ok {
					c.refuseWith(&statusv1.ErrorDetail{
						Code: statusv1.Code_CODE_RATE_LIMITED, Retryable: true, RetryAfter: durationpb.New(retry),
					}, "too many changes of this "+one.kind)
					return
				}
			}
		})
	}
	wait.Wait()
}

// findItems refuses likes of what is not there. To take a like back the item need not be there any more.
func (s *Service) findItems(ctx context.Context, changes []*change) {
	byTenant := map[string][]*change{}
	for _, c := range changes {
		switch {
		case c.GetUnlike():
		case ownItem.MatchString(c.GetItem()):
			byTenant[c.GetTenant()] = append(byTenant[c.GetTenant()], c)
		case !s.cfg.Foreign:
			c.refuse(statusv1.Code_CODE_NOT_FOUND, "there is no such post")
		}
	}
	for tenant, asked := range byTenant {
		ids := make([]string, len(asked))
		for i, c := range asked {
			ids[i] = c.GetItem()
		}
		found, err := s.backends.Posts.GetPosts(ctx, &blogv1.GetPostsRequest{Tenant: tenant, Ids: ids})
		for i, c := range asked {
			switch {
			case err != nil:
				c.refuseWith(detailOf(err), "whether the post exists can't be told now")
			case found.GetResults()[i].GetPost() == nil:
				c.refuse(statusv1.Code_CODE_NOT_FOUND, "there is no such post")
			}
		}
	}
}

// detailOf is what an error says, UNAVAILABLE where it says nothing.
func detailOf(err error) *statusv1.ErrorDetail {
	if detail, ok := service.Detail(err); ok {
		return detail
	}
	return &statusv1.ErrorDetail{
		Code: statusv1.Code_CODE_UNAVAILABLE, Outcome: statusv1.Outcome_OUTCOME_NONE, Retryable: true,
		RetryAfter: durationpb.New(unavailableRetry),
	}
}

// tenantsOf are the different tenants of changes.
func tenantsOf(changes []*change) []string {
	seen := map[string]bool{}
	var names []string
	for _, c := range changes {
		if !seen[c.GetTenant()] {
			seen[c.GetTenant()] = true
			names = append(names, c.GetTenant())
		}
	}
	return names
}
