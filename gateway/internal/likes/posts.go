package likes

import (
	"context"
	"errors"

	"github.com/littlevote/littlevote/gateway/internal/answer"
	blogv1 "github.com/littlevote/littlevote/proto/gen/littlevote/blog/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// errLength says that an answer does not fit its question.
var errLength = errors.New("the blog-service sent a wrong number of answers")

// unauthenticated refuses what only a user of ours may do.
func unauthenticated() error {
	return &answer.Refusal{Code: statusv1.Code_CODE_UNAUTHENTICATED, Text: answer.Unauthenticated}
}

// Register makes a user.
func (b *Blog) Register(ctx context.Context, caller Caller, name, password string) (*blogv1.User, error) {
	response, err := ask(ctx, b, b.accounts.Register, &blogv1.RegisterRequest{
		Tenant: caller.Tenant, Name: name, Password: password, Address: caller.Address,
	})
	return response.GetUser(), err
}

// Login begins a session.
func (b *Blog) Login(ctx context.Context, caller Caller, name, password string) (*blogv1.LoginResponse, error) {
	return ask(ctx, b, b.accounts.Login, &blogv1.LoginRequest{
		Tenant: caller.Tenant, Name: name, Password: password, Address: caller.Address,
	})
}

// Logout ends a session; one that has ended already is no error.
func (b *Blog) Logout(ctx context.Context, token string) error {
	_, err := ask(ctx, b, b.accounts.Logout, &blogv1.LogoutRequest{Token: token})
	return err
}

// Users returns users of the caller's tenant by id, in the order of the ids; nil for nobody.
func (b *Blog) Users(ctx context.Context, caller Caller, ids []string) ([]*blogv1.User, error) {
	users := make([]*blogv1.User, len(ids))
	if len(ids) == 0 {
		return users, nil
	}
	response, err := ask(ctx, b, b.accounts.GetUsers, &blogv1.GetUsersRequest{Tenant: caller.Tenant, Ids: ids})
	if err != nil {
		return nil, err
	}
	if len(response.GetResults()) != len(ids) {
		return nil, answer.RefusalOf(errLength)
	}
	for i, result := range response.GetResults() {
		users[i] = result.GetUser()
	}
	return users, nil
}

// CreatePost publishes a post of the caller.
func (b *Blog) CreatePost(ctx context.Context, caller Caller, title, content, key string) (*blogv1.Post, error) {
	if caller.User == "" {
		return nil, unauthenticated()
	}
	response, err := ask(ctx, b, b.posts.CreatePost, &blogv1.CreatePostRequest{
		Tenant: caller.Tenant, AuthorId: caller.User, Title: title, Content: content, IdempotencyKey: key, Address: caller.Address,
	})
	return response.GetPost(), err
}

// Posts returns posts of the caller's tenant by id, in the order of the ids; nil for what is no post.
func (b *Blog) Posts(ctx context.Context, caller Caller, ids []string) ([]*blogv1.Post, error) {
	posts := make([]*blogv1.Post, len(ids))
	if len(ids) == 0 {
		return posts, nil
	}
	response, err := ask(ctx, b, b.posts.GetPosts, &blogv1.GetPostsRequest{Tenant: caller.Tenant, Ids: ids, Viewer: caller.User})
	if err != nil {
		return nil, err
	}
	if len(response.GetResults()) != len(ids) {
		return nil, answer.RefusalOf(errLength)
	}
	for i, result := range response.GetResults() {
		posts[i] = result.GetPost()
	}
	return posts, nil
}

// ListPosts returns the tenant's posts, newest first, and what to ask for next.
func (b *Blog) ListPosts(ctx context.Context, caller Caller, page Page) ([]*blogv1.Post, string, error) {
	response, err := ask(ctx, b, b.posts.ListPosts, &blogv1.ListPostsRequest{
		Tenant: caller.Tenant, PageSize: int32(page.First), After: page.After,
	})
	return response.GetPosts(), response.GetNext(), err
}

// LoginByID begins a session without a password.
func (b *Blog) LoginByID(ctx context.Context, caller Caller, id string) (*blogv1.LoginByIDResponse, error) {
	return ask(ctx, b, b.accounts.LoginByID, &blogv1.LoginByIDRequest{Tenant: caller.Tenant, Id: id, Address: caller.Address})
}
