package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	"github.com/littlevote/littlevote/gateway/internal/identity"
	"github.com/littlevote/littlevote/libs/service"
	blogv1 "github.com/littlevote/littlevote/proto/gen/littlevote/blog/v1"
)

// maxAnswer bounds what one call may answer, in bytes: a batch of counts of large open ballots is the largest.
const maxAnswer = 32 << 20

// backends are the connections to the other services.
type backends struct {
	ticket, vote, query *backend
	blog                *backend // nil: there is none
}

// backend is one of them, with all its replicas.
type backend struct {
	*grpc.ClientConn
	name    string
	reached atomic.Bool // at least once
}

// dial starts connecting.
func dial(cfg Config, secure *service.TLS, host service.Host) (*backends, error) {
	b := &backends{}
	var errs []error
	measured := service.MeasureCalls(host.Meter, host.Log)
	open := func(name, target string) *backend {
		conn, err := service.Dial(target, secure, measured, grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)))
		if err != nil {
			errs = append(errs, fmt.Errorf("%s service: %w", name, err))
			return nil
		}
		conn.Connect()
		return &backend{ClientConn: conn, name: name}
	}
	b.ticket, b.vote, b.query = open("ticket", cfg.Ticket.Target), open("vote", cfg.Vote.Target), open("query", cfg.Query.Target)
	if cfg.Blog.Target != "" {
		b.blog = open("blog", cfg.Blog.Target)
	}
	if err := errors.Join(errs...); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// sessions are nil without a blog-service.
func (b *backends) sessions() identity.Sessions {
	if b.blog == nil {
		return nil
	}
	return identity.NewSessions(blogv1.NewAccountServiceClient(b.blog))
}

func (b *backends) close() {
	for _, one := range []*backend{b.ticket, b.vote, b.query, b.blog} {
		if one != nil {
			_ = one.Close()
		}
	}
}

// needed are the services without which nothing goes. The blog-service is not: who needs no session needs none of it.
func (b *backends) needed() []*backend { return []*backend{b.ticket, b.vote, b.query} }

// check is the gateway's readiness: every service was reached since the start, and at least one is there now. Once
// started, a gateway stays in use while any of them is away, since it can say what is wrong and go on with the rest;
// if all are, the fault may be its own.
func (b *backends) check(ctx context.Context) error {
	var problems []error
	connected := 0
	started := true
	for _, one := range b.needed() {
		if one.connected(ctx) {
			connected++
			continue
		}
		problems = append(problems, fmt.Errorf("the %s service can't be reached", one.name))
		started = started && one.reached.Load()
	}
	if started && connected > 0 {
		return nil
	}
	return errors.Join(problems...)
}

// degraded says which services are away now.
func (b *backends) degraded() string {
	var away []string
	for _, one := range append(b.needed(), b.blog) {
		if one != nil && one.GetState() != connectivity.Ready {
			away = append(away, one.name)
		}
	}
	if len(away) == 0 {
		return ""
	}
	return "services that can't be reached now: " + strings.Join(away, ", ")
}

// connected waits for a connection that is being made.
func (b *backend) connected(ctx context.Context) bool {
	for {
		switch state := b.GetState(); state {
		case connectivity.Ready:
			b.reached.Store(true)
			return true
		case connectivity.Idle:
			b.Connect()
			if !b.WaitForStateChange(ctx, state) {
				return false
			}
		case connectivity.Connecting:
			if !b.WaitForStateChange(ctx, state) {
				return false
			}
		default:
			return false
		}
	}
}
