package likes

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/identity"
	"github.com/littlevote/littlevote/gateway/internal/overload"
	"github.com/littlevote/littlevote/gateway/internal/visit"
	"github.com/littlevote/littlevote/libs/service"
	blogv1 "github.com/littlevote/littlevote/proto/gen/littlevote/blog/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// Config bounds a Blog.
type Config struct {
	InFlight int           // calls with changes at once; while they run the next batch gathers
	MaxBatch int           // changes a call
	MaxQueue int           // changes that wait; more are refused as OVERLOADED
	MaxWait  time.Duration // how long a change may have to wait, by the speed of those before it, before it is refused instead
	Timeout  time.Duration // of one call
	Wait     time.Duration // how long a change is tried again that was refused for a moment only
	Retries  uint          // a second, of all changes together
	Proxies  visit.Proxies
}

// Blog is the blog-service. It is safe for concurrent use.
type Blog struct {
	accounts blogv1.AccountServiceClient
	posts    blogv1.PostServiceClient
	likes    blogv1.LikeServiceClient
	changes  *changer
	timeout  time.Duration
	proxies  visit.Proxies
}

// New starts a Blog on a connection; Close ends it.
func New(conn grpc.ClientConnInterface, cfg Config, observer overload.Observer, log *slog.Logger) *Blog {
	b := &Blog{
		accounts: blogv1.NewAccountServiceClient(conn), posts: blogv1.NewPostServiceClient(conn), likes: blogv1.NewLikeServiceClient(conn),
		timeout: cfg.Timeout, proxies: cfg.Proxies,
	}
	b.changes = newChanger(b.likes, cfg, observer, log)
	return b
}

// Waiting is how many changes wait to be sent.
func (b *Blog) Waiting() int { return b.changes.batch.Len() }

// Close refuses new changes and waits for those that are under way, at most as long as ctx.
func (b *Blog) Close(ctx context.Context) {
	b.changes.closing.Store(true)
	b.changes.batch.Close(ctx)
}

// Caller is who calls, from where.
type Caller struct {
	Tenant  string
	Voter   string // as the ledger has it; empty for somebody unknown
	User    string // the id of a user of ours; empty for everybody else
	Address string
}

// Caller returns who sent the request of this context with these headers.
func (b *Blog) Caller(ctx context.Context, header http.Header) Caller {
	who := identity.From(ctx)
	return Caller{Tenant: string(who.Tenant), Voter: who.Voter, User: userOf(who.Voter), Address: b.proxies.Address(ctx, header)}
}

// ask makes one call, within its time.
func ask[Q, R any](
	ctx context.Context, b *Blog, call func(context.Context, *Q, ...grpc.CallOption) (*R, error), question *Q,
) (*R, error) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	response, err := call(ctx, question)
	if err != nil {
		return nil, refusal(err)
	}
	return response, nil
}

const unavailableRetry = time.Second

// refusal turns the error of a call into what the caller is told.
func refusal(err error) *answer.Refusal {
	if detail, ok := service.Detail(err); ok {
		return &answer.Refusal{
			Code: detail.GetCode(), Text: answer.ForCode(detail.GetCode()), Retryable: detail.GetRetryable(),
			RetryAfter: detail.GetRetryAfter().AsDuration(), Cause: err,
		}
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.ResourceExhausted:
		return &answer.Refusal{
			Code: statusv1.Code_CODE_UNAVAILABLE, Text: answer.Unavailable, Retryable: true, RetryAfter: unavailableRetry, Cause: err,
		}
	default:
		return &answer.Refusal{Code: statusv1.Code_CODE_INTERNAL, Text: answer.Internal, Cause: err}
	}
}
