package likes

import (
	"context"
	"log/slog"
	"regexp"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/singleflight"
	"google.golang.org/grpc/status"

	"github.com/littlevote/littlevote/libs/service"
	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
	blogv1 "github.com/littlevote/littlevote/proto/gen/littlevote/blog/v1"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// Posts knows which posts there are.
type Posts interface {
	GetPosts(ctx context.Context, req *blogv1.GetPostsRequest) (*blogv1.GetPostsResponse, error)
}

// Limiter says whether one more may happen now.
type Limiter interface {
	// Allow counts one event of key; if that is too many, another may come after retry.
	Allow(ctx context.Context, key string, rate Rate) (retry time.Duration, ok bool)
}

// Backends are what a Service asks.
type Backends struct {
	Votes   votev1.VoteServiceClient
	Ballots ballotv1.BallotServiceClient
	Queries queryv1.QueryServiceClient
	Posts   Posts
	Limiter Limiter
}

// Config says what a Service allows.
type Config struct {
	Foreign bool // items that are no posts of ours may be liked
	Voter   Rate // changes of one voter
	Address Rate // changes from one address
	Item    Rate // changes of one item
}

// Service implements the LikeService. It is safe for concurrent use.
type Service struct {
	cfg      Config
	backends Backends
	log      *slog.Logger
	making   singleflight.Group // of ballots, by name
}

// New returns a service; it has nothing to close.
func New(cfg Config, backends Backends, log *slog.Logger) *Service {
	return &Service{cfg: cfg, backends: backends, log: log}
}

const (
	maxItems = 1000 // of one call
	maxVoter = 128  // bytes

	// itemPattern is what an item is called.
	itemPattern = `[A-Za-z0-9_:-]{1,64}`
)

var (
	item = regexp.MustCompile(`^` + itemPattern + `$`)
	// ownItem is the form of a post's id.
	ownItem = regexp.MustCompile(`^[0-9]{16}$`)
	tenant  = regexp.MustCompile(`^[a-z0-9-]{0,32}$`)
)

// ballotOf is the full name of the tenant's ballot of likes.
func ballotOf(tenant string) string {
	if tenant == "" {
		return "likes"
	}
	return tenant + ".likes"
}

func invalid(format string, args ...any) error {
	return service.Error(connect.CodeInvalidArgument, &statusv1.ErrorDetail{
		Code: statusv1.Code_CODE_INVALID_ARGUMENT, Outcome: statusv1.Outcome_OUTCOME_NONE,
	}, format, args...)
}

// checkTenant refuses what names no tenant.
func checkTenant(name string) error {
	if !tenant.MatchString(name) {
		return invalid("tenant: expected at most 32 of a-z, 0-9 and the hyphen")
	}
	return nil
}

func checkVoter(voter string) error {
	if voter == "" || len(voter) > maxVoter {
		return invalid("voter: expected 1 to %d bytes", maxVoter)
	}
	return nil
}

// passedOn is the error of a call that was made for this one, in the words of the service behind.
func passedOn(err error) error {
	detail, ok := service.Detail(err)
	if !ok {
		return err
	}
	return service.Error(connect.Code(status.Code(err)), detail, "%s", status.Convert(err).Message())
}
