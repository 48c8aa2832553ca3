package gateway

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/littlevote/littlevote/libs/service"
	blogv1 "github.com/littlevote/littlevote/proto/gen/littlevote/blog/v1"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

const (
	aPost    = "7305000000000001"
	bPost    = "7305000000000002"
	anAuthor = "7300000000000001"
	aSession = "lvs_alice"
)

// blog is a blog-service with two posts, one user, and likes; and the counts of the likes, as the query-service has them.
type blog struct {
	blogv1.UnimplementedAccountServiceServer
	blogv1.UnimplementedPostServiceServer
	blogv1.UnimplementedLikeServiceServer

	mu        sync.Mutex
	likes     map[[3]string]bool // by tenant, voter, item
	order     [][3]string        // as they came
	addresses []string
	ended     []string // sessions
	begun     []*blogv1.LoginByIDRequest
	changes   func(*blogv1.ChangeLikesRequest) (*blogv1.ChangeLikesResponse, error)

	changeCalls, likedCalls, listCalls, postCalls, userCalls atomic.Int64
}

func newBlog() *blog { return &blog{likes: map[[3]string]bool{}} }

// blogConfig is that of a gateway before a blog, too.
func (s *services) blogConfig(t testing.TB, b *blog) Config {
	cfg := s.config(t)
	cfg.Blog.Target = b.listen(t)
	s.tally = b.tally
	return cfg
}

func (b *blog) listen(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	blogv1.RegisterAccountServiceServer(server, b)
	blogv1.RegisterPostServiceServer(server, b)
	blogv1.RegisterLikeServiceServer(server, b)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

func refuses(code connect.Code, detail statusv1.Code) error {
	return asGRPC(service.Error(code, &statusv1.ErrorDetail{Code: detail, Outcome: statusv1.Outcome_OUTCOME_NONE}, "no"))
}

func (b *blog) ChangeLikes(_ context.Context, req *blogv1.ChangeLikesRequest) (*blogv1.ChangeLikesResponse, error) {
	b.changeCalls.Add(1)
	if b.changes != nil {
		return b.changes(req)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	response := &blogv1.ChangeLikesResponse{}
	for _, change := range req.GetChanges() {
		b.addresses = append(b.addresses, change.GetAddress())
		response.Verdicts = append(response.Verdicts, b.change(change))
	}
	return response, nil
}

func (b *blog) change(c *blogv1.LikeChange) *blogv1.LikeVerdict {
	key := [3]string{c.GetTenant(), c.GetVoter(), c.GetItem()}
	verdict := &blogv1.LikeVerdict{Outcome: statusv1.Outcome_OUTCOME_NONE, DecidedAt: timestamppb.New(decidedAt())}
	switch {
	case !c.GetUnlike() && b.likes[key]:
		verdict.Code = statusv1.Code_CODE_ALREADY_LIKED
		return verdict
	case c.GetUnlike() && !b.likes[key]:
		verdict.Code = statusv1.Code_CODE_NOT_LIKED
		return verdict
	case c.GetUnlike():
		delete(b.likes, key)
		b.order = slices.DeleteFunc(b.order, func(k [3]string) bool { return k == key })
	default:
		b.likes[key] = true
		b.order = append(b.order, key)
	}
	verdict.Code, verdict.Outcome = statusv1.Code_CODE_OK, statusv1.Outcome_OUTCOME_COUNTED
	verdict.LikeCount, verdict.Token = b.count(c.GetTenant(), c.GetItem()), aToken
	return verdict
}

func (b *blog) count(tenant, item string) (n int64) {
	for key := range b.likes {
		if key[0] == tenant && key[2] == item {
			n++
		}
	}
	return n
}

// tally counts likes as the query-service would; nobody knows the ballot of a tenant that has none.
func (b *blog) tally(read *queryv1.TallyRead) *queryv1.Tally {
	tenant, _ := strings.CutSuffix(strings.TrimSuffix(read.GetBallot(), "likes"), ".")
	tally := &queryv1.Tally{Code: statusv1.Code_CODE_OK, Ballot: read.GetBallot(), AsOf: timestamppb.New(decidedAt())}
	if tenant == "empty" {
		tally.Code = statusv1.Code_CODE_BALLOT_NOT_FOUND
		return tally
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, item := range read.GetCandidates() {
		tally.Counts = append(tally.Counts, &queryv1.Count{Candidate: item, Votes: b.count(tenant, item)})
	}
	return tally
}

func (b *blog) HasLiked(_ context.Context, req *blogv1.HasLikedRequest) (*blogv1.HasLikedResponse, error) {
	b.likedCalls.Add(1)
	b.mu.Lock()
	defer b.mu.Unlock()
	response := &blogv1.HasLikedResponse{}
	for _, item := range req.GetItems() {
		response.Liked = append(response.Liked, b.likes[[3]string{req.GetTenant(), req.GetVoter(), item}])
	}
	return response, nil
}

func (b *blog) list(has func(key [3]string) bool) (list []*blogv1.ItemLike) {
	b.listCalls.Add(1)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, key := range slices.Backward(b.order) {
		if has(key) {
			list = append(list, &blogv1.ItemLike{Voter: key[1], Item: key[2], LikedAt: timestamppb.New(decidedAt())})
		}
	}
	return list
}

func (b *blog) ListMyLikes(_ context.Context, req *blogv1.ListMyLikesRequest) (*blogv1.ListMyLikesResponse, error) {
	likes := b.list(func(key [3]string) bool { return key[0] == req.GetTenant() && key[1] == req.GetVoter() })
	return &blogv1.ListMyLikesResponse{Likes: likes, Next: "after-" + req.GetAfter()}, nil
}

func (b *blog) ListLikers(_ context.Context, req *blogv1.ListLikersRequest) (*blogv1.ListLikersResponse, error) {
	likes := b.list(func(key [3]string) bool { return key[0] == req.GetTenant() && key[2] == req.GetItem() })
	return &blogv1.ListLikersResponse{Likes: likes}, nil
}

func postOf(id string) *blogv1.Post {
	if id != aPost && id != bPost {
		return nil
	}
	return &blogv1.Post{
		Id: id, AuthorId: anAuthor, Title: "title of " + id, Content: "content", CreatedAt: timestamppb.New(decidedAt()), UpdatedAt: timestamppb.New(decidedAt()),
	}
}

func (b *blog) GetPosts(_ context.Context, req *blogv1.GetPostsRequest) (*blogv1.GetPostsResponse, error) {
	b.postCalls.Add(1)
	response := &blogv1.GetPostsResponse{}
	for _, id := range req.GetIds() {
		response.Results = append(response.Results, &blogv1.PostResult{Post: postOf(id)})
	}
	return response, nil
}

func (b *blog) ListPosts(context.Context, *blogv1.ListPostsRequest) (*blogv1.ListPostsResponse, error) {
	b.postCalls.Add(1)
	return &blogv1.ListPostsResponse{Posts: []*blogv1.Post{postOf(bPost), postOf(aPost)}, Next: "older"}, nil
}

func (b *blog) CreatePost(_ context.Context, req *blogv1.CreatePostRequest) (*blogv1.CreatePostResponse, error) {
	if req.GetTitle() == "" {
		return nil, refuses(connect.CodeInvalidArgument, statusv1.Code_CODE_INVALID_ARGUMENT)
	}
	post := postOf(aPost)
	post.Title, post.Content, post.AuthorId = req.GetTitle(), req.GetContent(), req.GetAuthorId()
	return &blogv1.CreatePostResponse{Post: post}, nil
}

func alice() *blogv1.User {
	return &blogv1.User{Id: anAuthor, Name: "alice", CreatedAt: timestamppb.New(decidedAt())}
}

func (b *blog) GetUsers(_ context.Context, req *blogv1.GetUsersRequest) (*blogv1.GetUsersResponse, error) {
	b.userCalls.Add(1)
	response := &blogv1.GetUsersResponse{}
	for _, id := range req.GetIds() {
		result := &blogv1.UserResult{}
		if id == anAuthor {
			result.User = alice()
		}
		response.Results = append(response.Results, result)
	}
	return response, nil
}

func (b *blog) Register(_ context.Context, req *blogv1.RegisterRequest) (*blogv1.RegisterResponse, error) {
	if req.GetName() == "alice" {
		return nil, refuses(connect.CodeAlreadyExists, statusv1.Code_CODE_ALREADY_EXISTS)
	}
	user := alice()
	user.Name = req.GetName()
	return &blogv1.RegisterResponse{User: user}, nil
}

func (b *blog) session() *blogv1.LoginResponse {
	ends := timestamppb.New(time.Now().Add(24 * time.Hour))
	return &blogv1.LoginResponse{Token: aSession, User: alice(), ExpiresAt: ends, EndsAt: ends}
}

func (b *blog) Login(_ context.Context, req *blogv1.LoginRequest) (*blogv1.LoginResponse, error) {
	if req.GetName() != "alice" || req.GetPassword() != "correct horse" {
		return nil, refuses(connect.CodeUnauthenticated, statusv1.Code_CODE_UNAUTHENTICATED)
	}
	return b.session(), nil
}

func (b *blog) LoginByID(_ context.Context, req *blogv1.LoginByIDRequest) (*blogv1.LoginByIDResponse, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.begun = append(b.begun, req)
	s := b.session()
	return &blogv1.LoginByIDResponse{Token: s.GetToken(), User: s.GetUser(), ExpiresAt: s.GetExpiresAt(), EndsAt: s.GetEndsAt()}, nil
}

func (b *blog) Logout(_ context.Context, req *blogv1.LogoutRequest) (*blogv1.LogoutResponse, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = append(b.ended, req.GetToken())
	return &blogv1.LogoutResponse{}, nil
}

func (b *blog) CheckSession(_ context.Context, req *blogv1.CheckSessionRequest) (*blogv1.CheckSessionResponse, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if req.GetToken() != aSession || slices.Contains(b.ended, req.GetToken()) {
		return nil, refuses(connect.CodeUnauthenticated, statusv1.Code_CODE_UNAUTHENTICATED)
	}
	return &blogv1.CheckSessionResponse{User: alice()}, nil
}

// asGRPC is an error as it comes from a service that speaks Connect.
func asGRPC(err error) error {
	var wire *connect.Error
	if !errors.As(err, &wire) {
		return err
	}
	answer := status.New(codes.Code(wire.Code()), wire.Message())
	if detail, ok := service.Detail(err); ok {
		answer, _ = answer.WithDetails(detail)
	}
	return answer.Err()
}
