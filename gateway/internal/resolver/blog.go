package resolver

import (
	"context"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/littlevote/littlevote/gateway/graph/exec"
	"github.com/littlevote/littlevote/gateway/graph/model"
	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/likes"
	"github.com/littlevote/littlevote/gateway/internal/reads"
	"github.com/littlevote/littlevote/gateway/internal/visit"
	blogv1 "github.com/littlevote/littlevote/proto/gen/littlevote/blog/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// Post resolves the fields of Post that take arguments.
func (r *Resolver) Post() exec.PostResolver { return postFields{r} }

// User resolves the fields of User that take arguments.
func (r *Resolver) User() exec.UserResolver { return userFields{r} }

type (
	postFields struct{ *Resolver }
	userFields struct{ *Resolver }
)

// blog returns the blog-service and who asks it.
func (r *Resolver) blog(ctx context.Context) (*likes.Blog, likes.Caller, error) {
	if r.cfg.Blog == nil {
		return nil, likes.Caller{}, &answer.Refusal{Code: statusv1.Code_CODE_UNAVAILABLE, Text: answer.Unavailable}
	}
	return r.cfg.Blog, r.cfg.Blog.Caller(ctx, graphql.GetOperationContext(ctx).Headers), nil
}

// Like likes an item. Every answer is data.
func (m mutation) Like(ctx context.Context, item string, key *string) (*model.LikeResponse, error) {
	return m.changeLike(ctx, item, key, false), nil
}

// Unlike takes a like back. Every answer is data.
func (m mutation) Unlike(ctx context.Context, item string, key *string) (*model.LikeResponse, error) {
	return m.changeLike(ctx, item, key, true), nil
}

func (m mutation) changeLike(ctx context.Context, item string, key *string, unlike bool) *model.LikeResponse {
	canonical, valid := idempotencyKey(key)
	blog, caller, err := m.blog(ctx)
	var verdict *blogv1.LikeVerdict
	switch {
	case !valid:
		verdict = &blogv1.LikeVerdict{Code: statusv1.Code_CODE_INVALID_ARGUMENT, Outcome: statusv1.Outcome_OUTCOME_NONE}
	case err != nil:
		verdict = &blogv1.LikeVerdict{Code: statusv1.Code_CODE_UNAVAILABLE, Outcome: statusv1.Outcome_OUTCOME_NONE}
	default:
		verdict = blog.Change(ctx, caller, item, canonical, unlike)
	}
	decided := m.cfg.Now()
	if verdict.GetDecidedAt() != nil {
		decided = verdict.GetDecidedAt().AsTime()
	}
	response := &model.LikeResponse{
		Success:   verdict.GetCode() == statusv1.Code_CODE_OK,
		Message:   likes.Message(m.cfg.Texts, m.language(ctx), verdict.GetCode(), unlike),
		Code:      m.cfg.Texts.Name(verdict.GetCode()),
		Outcome:   outcome(verdict.GetOutcome()),
		Retryable: verdict.GetRetryable(),
		Item:      item,
		Token:     optional(verdict.GetToken()),
		Timestamp: decided.UTC().Format(reads.TimeFormat),
	}
	if !valid {
		response.Message = m.cfg.Texts.Say(answer.KeyFormat, m.language(ctx))
	}
	if after := verdict.GetRetryAfter().AsDuration(); response.Retryable && after > 0 {
		ms := int32(min((after+time.Millisecond-1)/time.Millisecond, maxRetryAfterMs))
		response.RetryAfterMs = &ms
	}
	if response.Success {
		count := verdict.GetLikeCount()
		response.Count = &count
	}
	return response
}

// Register makes an account.
func (m mutation) Register(ctx context.Context, name, password string) (*model.User, error) {
	blog, caller, err := m.blog(ctx)
	if err != nil {
		return nil, err
	}
	user, err := blog.Register(ctx, caller, name, password)
	if err != nil {
		return nil, err
	}
	return newUser(user), nil
}

// Login begins a session, in the answer and as a cookie.
func (m mutation) Login(ctx context.Context, name, password string) (*model.Session, error) {
	blog, caller, err := m.blog(ctx)
	if err != nil {
		return nil, err
	}
	begun, err := blog.Login(ctx, caller, name, password)
	if err != nil {
		return nil, err
	}
	visit.Begin(ctx, begun.GetToken(), begun.GetEndsAt().AsTime())
	return &model.Session{
		Token: begun.GetToken(), ExpiresAt: formatTime(begun.GetExpiresAt()), EndsAt: formatTime(begun.GetEndsAt()), User: newUser(begun.GetUser()),
	}, nil
}

// Logout ends the session that the request came with.
func (m mutation) Logout(ctx context.Context) (bool, error) {
	blog, _, err := m.blog(ctx)
	if err != nil {
		return false, err
	}
	if token := visit.Token(graphql.GetOperationContext(ctx).Headers); token != "" {
		if err := blog.Logout(ctx, token); err != nil {
			return false, err
		}
	}
	visit.End(ctx)
	return true, nil
}

// CreatePost publishes a post of the caller.
func (m mutation) CreatePost(ctx context.Context, title, content string, key *string) (*model.Post, error) {
	canonical, ok := idempotencyKey(key)
	if !ok {
		return nil, answer.NotValid(answer.KeyFormat)
	}
	blog, caller, err := m.blog(ctx)
	if err != nil {
		return nil, err
	}
	made, err := blog.CreatePost(ctx, caller, title, content, canonical)
	if err != nil {
		return nil, err
	}
	post := newPost(made)
	m.loadPosts(ctx, selection(ctx), post)
	return post, nil
}

// HasLiked tells which items the caller likes.
func (q query) HasLiked(ctx context.Context, items []string) ([]bool, error) {
	blog, caller, err := q.blog(ctx)
	if err != nil {
		return nil, err
	}
	for _, item := range items {
		if !likes.ValidItem(item) {
			return nil, answer.NotValid(answer.Invalid)
		}
	}
	if len(items) > likes.MaxItems {
		return nil, answer.NotValid(answer.EntitiesTooMany)
	}
	return blog.HasLiked(ctx, caller, items)
}

// Article returns one post.
func (q query) Article(ctx context.Context, id string) (*model.Post, error) {
	blog, caller, err := q.blog(ctx)
	if err != nil {
		return nil, err
	}
	if !likes.IsUser(id) {
		return nil, nil //nolint:nilnil // there is no such post
	}
	found, err := blog.Posts(ctx, caller, []string{id})
	if err != nil || found[0] == nil {
		return nil, err
	}
	post := newPost(found[0])
	q.loadPosts(ctx, selection(ctx), post)
	return post, nil
}

// Articles returns a page of posts.
func (q query) Articles(ctx context.Context, first *int32, after *string) (*model.PostPage, error) {
	page, err := likePageOf(first, after, nil)
	if err != nil {
		return nil, err
	}
	blog, caller, err := q.blog(ctx)
	if err != nil {
		return nil, err
	}
	found, next, err := blog.ListPosts(ctx, caller, page)
	if err != nil {
		return nil, err
	}
	posts := make([]*model.Post, len(found))
	for i, post := range found {
		posts[i] = newPost(post)
	}
	q.loadPosts(ctx, under(ctx, selection(ctx), "posts"), posts...)
	return &model.PostPage{Posts: posts, Next: optional(next)}, nil
}

// MyLikes returns a page of what the caller likes.
func (q query) MyLikes(ctx context.Context, first *int32, after, atLeast *string) (*model.LikePage, error) {
	page, err := likePageOf(first, after, atLeast)
	if err != nil {
		return nil, err
	}
	blog, caller, err := q.blog(ctx)
	if err != nil {
		return nil, err
	}
	if caller.Voter == "" {
		return nil, &answer.Refusal{Code: statusv1.Code_CODE_UNAUTHENTICATED, Text: answer.Unauthenticated}
	}
	found, next, err := blog.LikesOf(ctx, caller, caller.Voter, page)
	return q.likePage(ctx, found, next, err)
}

// Likers returns a page of who likes a post.
func (p postFields) Likers(ctx context.Context, post *model.Post, first *int32, after *string) (*model.LikePage, error) {
	page, err := likePageOf(first, after, nil)
	if err != nil {
		return nil, err
	}
	blog, caller, err := p.blog(ctx)
	if err != nil {
		return nil, err
	}
	if !likes.ValidItem(post.ID) {
		return &model.LikePage{}, nil
	}
	found, next, err := blog.Likers(ctx, caller, post.ID, page)
	return p.likePage(ctx, found, next, err)
}

// Likes returns a page of what a user likes.
func (u userFields) Likes(ctx context.Context, user *model.User, first *int32, after *string) (*model.LikePage, error) {
	page, err := likePageOf(first, after, nil)
	if err != nil {
		return nil, err
	}
	blog, caller, err := u.blog(ctx)
	if err != nil {
		return nil, err
	}
	voter, ok := likes.VoterOf(user.ID)
	if !ok {
		return &model.LikePage{}, nil
	}
	found, next, err := blog.LikesOf(ctx, caller, voter, page)
	return u.likePage(ctx, found, next, err)
}

// likePageOf reads the arguments of a page.
func likePageOf(first *int32, after, atLeast *string) (likes.Page, error) {
	page := likes.Page{First: likes.DefaultPage}
	if first != nil {
		page.First = int(*first)
	}
	if after != nil {
		page.After = *after
	}
	if !page.Valid() {
		return page, answer.NotValid(answer.Invalid)
	}
	if atLeast != nil {
		if page.AtLeast = *atLeast; !validToken(page.AtLeast) {
			return page, answer.NotValid(answer.TokenFormat)
		}
	}
	return page, nil
}

func formatTime(at *timestamppb.Timestamp) string { return at.AsTime().UTC().Format(reads.TimeFormat) }
