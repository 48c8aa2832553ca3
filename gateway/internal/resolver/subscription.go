package resolver

import (
	"context"

	"github.com/littlevote/littlevote/gateway/graph/exec"
	"github.com/littlevote/littlevote/gateway/graph/model"
	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/engine"
	"github.com/littlevote/littlevote/gateway/internal/identity"
	"github.com/littlevote/littlevote/gateway/internal/live"
)

// Live shows counts as they change.
type Live interface {
	Subscribe(ctx context.Context, ballot live.Ballot, viewer live.Viewer, end func(error)) (<-chan *model.TallyUpdate, error)
}

// Subscription resolves the fields of Subscription.
func (r *Resolver) Subscription() exec.SubscriptionResolver { return subscription{r} }

type subscription struct{ *Resolver }

func (s subscription) Tally(ctx context.Context, ballot *string) (<-chan *model.TallyUpdate, error) {
	who := identity.From(ctx)
	named, ok := who.Tenant.Ballot(ballot)
	if !ok {
		return nil, answer.NotValid(answer.BallotFormat)
	}
	return s.cfg.Live.Subscribe(ctx, live.Ballot{Full: named.Full(), ID: named.ID},
		live.Viewer{Voter: who.Voter, Organiser: who.Organiser()}, func(why error) { engine.End(ctx, why) })
}
