package rest

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"

	"github.com/littlevote/littlevote/gateway/graph/model"
	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/likes"
	"github.com/littlevote/littlevote/gateway/internal/reads"
	"github.com/littlevote/littlevote/gateway/internal/visit"
	blogv1 "github.com/littlevote/littlevote/proto/gen/littlevote/blog/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// operations are all paths but those of the page.
func (a *API) operations() map[string]operation {
	return map[string]operation{
		"GET /api/user/login":     a.loginByID,
		"POST /api/user/login":    a.login,
		"POST /api/user/register": a.register,
		"POST /api/user/logout":   a.logout,
		"GET /api/user/get/login": a.whoAmI,
		"GET /api/blog/get":       a.blog,
		"GET /api/blog/list":      a.blogs,
		"POST /api/blog/add":      a.addBlog,
		"POST /api/thumb/do":      func(ctx context.Context, c call) (any, error) { return a.thumb(ctx, c, false) },
		"POST /api/thumb/undo":    func(ctx context.Context, c call) (any, error) { return a.thumb(ctx, c, true) },
	}
}

// body is what any POST may say.
type body struct {
	BlogID         identifier `json:"blogId"`
	Name           string     `json:"name"`
	Password       string     `json:"password"`
	Title          string     `json:"title"`
	Content        string     `json:"content"`
	IdempotencyKey string     `json:"idempotencyKey"`
}

// identifier is an id that came as a number or as a text; our ids are whole numbers that JSON holds exactly.
type identifier string

// UnmarshalJSON reads either.
func (i *identifier) UnmarshalJSON(text []byte) error {
	var number json.Number
	if err := json.Unmarshal(text, &number); err == nil {
		*i = identifier(number)
		return nil
	}
	return json.Unmarshal(text, (*string)(i))
}

// user is one in an answer.
type user struct {
	ID         json.Number `json:"id"`
	Username   string      `json:"username"`
	CreateTime string      `json:"createTime"`
}

// blogPost is a post in an answer.
type blogPost struct {
	ID         json.Number `json:"id"`
	UserID     json.Number `json:"userId"`
	Title      string      `json:"title"`
	Content    string      `json:"content"`
	ThumbCount int64       `json:"thumbCount"`
	HasThumb   bool        `json:"hasThumb"`
	CreateTime string      `json:"createTime"`
	UpdateTime string      `json:"updateTime"`
}

func newUser(of *blogv1.User) user {
	return user{ID: json.Number(of.GetId()), Username: of.GetName(), CreateTime: of.GetCreatedAt().AsTime().UTC().Format(reads.TimeFormat)}
}

var errNoBlog = &answer.Refusal{Code: statusv1.Code_CODE_NOT_FOUND, Text: answer.NotFound}

func (a *API) login(ctx context.Context, c call) (any, error) {
	begun, err := a.cfg.Blog.Login(ctx, c.caller, c.body.Name, c.body.Password)
	if err != nil {
		return nil, err
	}
	visit.Begin(ctx, begun.GetToken(), begun.GetEndsAt().AsTime())
	return newUser(begun.GetUser()), nil
}

// loginByID is how this family's clients log in. It asks for no password, so that it is there only where the settings say so.
func (a *API) loginByID(ctx context.Context, c call) (any, error) {
	if !a.cfg.LoginByID {
		return nil, &answer.Refusal{Code: statusv1.Code_CODE_PERMISSION_DENIED, Text: answer.PermissionDenied}
	}
	begun, err := a.cfg.Blog.LoginByID(ctx, c.caller, c.query.Get("userId"))
	if err != nil {
		return nil, err
	}
	visit.Begin(ctx, begun.GetToken(), begun.GetEndsAt().AsTime())
	return newUser(begun.GetUser()), nil
}

func (a *API) register(ctx context.Context, c call) (any, error) {
	made, err := a.cfg.Blog.Register(ctx, c.caller, c.body.Name, c.body.Password)
	if err != nil {
		return nil, err
	}
	return newUser(made), nil
}

func (a *API) logout(ctx context.Context, c call) (any, error) {
	if token := visit.Token(c.header); token != "" {
		if err := a.cfg.Blog.Logout(ctx, token); err != nil {
			return nil, err
		}
	}
	visit.End(ctx)
	return true, nil
}

func (a *API) whoAmI(ctx context.Context, c call) (any, error) {
	if c.caller.User == "" {
		return nil, &answer.Refusal{Code: statusv1.Code_CODE_UNAUTHENTICATED, Text: answer.Unauthenticated}
	}
	found, err := a.cfg.Blog.Users(ctx, c.caller, []string{c.caller.User})
	if err != nil {
		return nil, err
	}
	return newUser(found[0]), nil
}

func (a *API) blog(ctx context.Context, c call) (any, error) {
	id := c.query.Get("blogId")
	if !likes.IsUser(id) {
		return nil, errNoBlog
	}
	found, err := a.cfg.Blog.Posts(ctx, c.caller, []string{id})
	if err != nil {
		return nil, err
	}
	if found[0] == nil {
		return nil, errNoBlog
	}
	list, err := a.withLikes(ctx, c.caller, found)
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

func (a *API) blogs(ctx context.Context, c call) (any, error) {
	wanted := likes.Page{First: likes.MaxPage, After: c.query.Get("after")}
	if first := c.query.Get("first"); first != "" {
		wanted.First, _ = strconv.Atoi(first) // 0 is not valid either
	}
	if !wanted.Valid() {
		return nil, answer.NotValid(answer.Invalid)
	}
	found, next, err := a.cfg.Blog.ListPosts(ctx, c.caller, wanted)
	if err != nil {
		return nil, err
	}
	list, err := a.withLikes(ctx, c.caller, found)
	return page{data: list, next: next}, err
}

func (a *API) addBlog(ctx context.Context, c call) (any, error) {
	made, err := a.cfg.Blog.CreatePost(ctx, c.caller, c.body.Title, c.body.Content, c.body.IdempotencyKey)
	if err != nil {
		return nil, err
	}
	return json.Number(made.GetId()), nil
}

// withLikes adds counts, and whether the caller likes each, in one call of each kind.
func (a *API) withLikes(ctx context.Context, caller likes.Caller, posts []*blogv1.Post) ([]blogPost, error) {
	list, ids := make([]blogPost, len(posts)), make([]string, len(posts))
	candidates := make([]reads.Candidate, len(posts))
	for i, post := range posts {
		ids[i] = post.GetId()
		candidates[i] = reads.Candidate{Ballot: likes.Ballot(caller.Tenant), Name: post.GetId()}
		list[i] = blogPost{
			ID: json.Number(post.GetId()), UserID: json.Number(post.GetAuthorId()), Title: post.GetTitle(), Content: post.GetContent(),
			CreateTime: post.GetCreatedAt().AsTime().UTC().Format(reads.TimeFormat),
			UpdateTime: post.GetUpdatedAt().AsTime().UTC().Format(reads.TimeFormat),
		}
	}
	var problem error
	a.cfg.Counts.Many(ctx, candidates, func(i int, vote *model.UserVote, err error) {
		var refused *answer.Refusal
		switch {
		case err == nil:
			list[i].ThumbCount = vote.Count
		case errors.As(err, &refused) && refused.Code == statusv1.Code_CODE_BALLOT_NOT_FOUND: // nobody has liked anything yet
		default:
			problem = err
		}
	})
	if problem != nil {
		return nil, problem
	}
	liked, err := a.cfg.Blog.HasLiked(ctx, caller, ids)
	if err != nil {
		return nil, err
	}
	for i := range list {
		list[i].HasThumb = liked[i]
	}
	return list, nil
}

// noChange is the cause of a refusal of a like or an unlike.
type noChange struct{ code statusv1.Code }

func (n *noChange) Error() string { return n.code.String() }

// thumb likes a post, or takes the like back.
func (a *API) thumb(ctx context.Context, c call, undo bool) (any, error) {
	verdict := a.cfg.Blog.Change(ctx, c.caller, string(c.body.BlogID), c.body.IdempotencyKey, undo)
	if code := verdict.GetCode(); code != statusv1.Code_CODE_OK {
		return nil, &answer.Refusal{Code: code, Text: answer.ForCode(code), Cause: &noChange{code}}
	}
	return true, nil
}
