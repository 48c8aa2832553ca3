// Package post has what people write.
package post

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/littlevote/littlevote/libs/loader"
	blogv1 "github.com/littlevote/littlevote/proto/gen/littlevote/blog/v1"

	"github.com/littlevote/littlevote/services/blog-service/internal/cache"
	"github.com/littlevote/littlevote/services/blog-service/internal/limit"
	"github.com/littlevote/littlevote/services/blog-service/internal/refusal"
	"github.com/littlevote/littlevote/services/blog-service/internal/request"
	"github.com/littlevote/littlevote/services/blog-service/internal/store"
)

// Kind is what posts are called in the cache.
const Kind = "post"

const (
	maxTitle    = 200    // characters
	maxContent  = 20_000 // characters
	defaultPage = 20
	maxPage     = 100
	maxAnswer   = 3 << 20 // bytes of posts in one answer: what callers take is 4 MiB
)

// Config holds the limits.
type Config struct {
	WritesPerAuthor, WritesPerAddress int // a minute
	Lists                             loader.Config
}

// Parts are what a service works with.
type Parts struct {
	Store  *store.Store
	Posts  *cache.Cache[*blogv1.Post]
	Limits *limit.Limiter
	Log    *slog.Logger
}

// Service is the PostService.
type Service struct {
	cfg    Config
	store  *store.Store
	posts  *cache.Cache[*blogv1.Post]
	lists  *loader.Loader[store.Page, []store.Post]
	limits *limit.Limiter
	log    *slog.Logger
}

// New returns the service.
func New(cfg Config, p Parts) *Service {
	s := &Service{cfg: cfg, store: p.Store, posts: p.Posts, limits: p.Limits, log: p.Log}
	cfg.Lists.Batch = 1
	s.lists = loader.New(cfg.Lists, func(ctx context.Context, pages []store.Page) (map[store.Page][]store.Post, error) {
		posts, err := p.Store.ListPosts(ctx, pages[0])
		return map[store.Page][]store.Post{pages[0]: posts}, err
	})
	return s
}

// Close waits for the lists on their way. Nothing may be asked for any more.
func (s *Service) Close() { s.lists.Close() }

// Fetch returns posts for the cache, and deleted ones as being no more.
func Fetch(s *store.Store) func(ctx context.Context, ids []cache.ID) (map[cache.ID]cache.Entry[*blogv1.Post], error) {
	return func(ctx context.Context, ids []cache.ID) (map[cache.ID]cache.Entry[*blogv1.Post], error) {
		posts, err := s.Posts(ctx, cache.Numbers(ids))
		if err != nil {
			return nil, err
		}
		entries := make(map[cache.ID]cache.Entry[*blogv1.Post], len(posts))
		for _, p := range posts {
			id, e := entry(p)
			entries[id] = e
		}
		return entries, nil
	}
}

// Encode writes a post for the cache.
func Encode(p *blogv1.Post) ([]byte, error) { return proto.Marshal(p) }

// Decode reads what Encode wrote.
func Decode(data []byte) (*blogv1.Post, error) {
	p := &blogv1.Post{}
	return p, proto.Unmarshal(data, p)
}

func entry(p store.Post) (cache.ID, cache.Entry[*blogv1.Post]) {
	e := cache.Entry[*blogv1.Post]{Version: p.Version, Owner: store.FormatID(p.Author), Found: !p.Deleted}
	if e.Found {
		e.Value = message(p)
	}
	return cache.ID{Tenant: p.Tenant, Number: p.ID}, e
}

func message(p store.Post) *blogv1.Post {
	return &blogv1.Post{
		Id: store.FormatID(p.ID), AuthorId: store.FormatID(p.Author), Title: p.Title, Content: p.Content,
		CreatedAt: timestamppb.New(p.CreatedAt), UpdatedAt: timestamppb.New(p.UpdatedAt), Version: p.Version,
	}
}

// CreatePost implements PostServiceHandler.
func (s *Service) CreatePost(ctx context.Context, req *blogv1.CreatePostRequest) (*blogv1.CreatePostResponse, error) {
	author, err := s.author(req.GetTenant(), req.GetAuthorId())
	if err != nil {
		return nil, err
	}
	p := store.NewPost{Tenant: req.GetTenant(), Author: author, Title: req.GetTitle(), Content: req.GetContent()}
	if err := errors.Join(checkTitle(p.Title), checkContent(p.Content)); err != nil {
		return nil, err
	}
	if text := req.GetIdempotencyKey(); text != "" {
		if p.Key, err = uuid.Parse(text); err != nil || len(text) != 36 || p.Key == uuid.Nil {
			return nil, refusal.Invalid("idempotency_key: expected a UUID of 36 characters")
		}
	}
	address, err := limit.Address(req.GetAddress())
	if err != nil {
		return nil, err
	}
	if err := s.limits.Take(ctx, s.perAuthor(p.Tenant, author), limit.Rule{What: "post-address", Who: address, Rate: s.cfg.WritesPerAddress}); err != nil {
		return nil, s.refuse(ctx, "create a post", err)
	}
	made, err := s.store.CreatePost(ctx, p)
	if errors.Is(err, store.ErrNotFound) {
		return nil, refusal.Unauthenticated("the tenant has no such author")
	}
	if err != nil {
		return nil, s.refuse(ctx, "create a post", err)
	}
	return &blogv1.CreatePostResponse{Post: s.changed(ctx, made)}, nil
}

// UpdatePost implements PostServiceHandler.
func (s *Service) UpdatePost(ctx context.Context, req *blogv1.UpdatePostRequest) (*blogv1.UpdatePostResponse, error) {
	author, err := s.author(req.GetTenant(), req.GetAuthorId())
	if err != nil {
		return nil, err
	}
	c := store.Change{
		Tenant: req.GetTenant(), Author: author, Title: req.GetTitle(), Content: req.GetContent(), IfVersion: req.GetIfVersion(),
	}
	if c.Title == "" && c.Content == "" || c.IfVersion < 0 {
		return nil, refusal.Invalid("title, content: expected a new one; if_version: not below 0")
	}
	if c.Title != "" {
		err = checkTitle(c.Title)
	}
	if c.Content != "" {
		err = errors.Join(err, checkContent(c.Content))
	}
	if err != nil {
		return nil, err
	}
	var ok bool
	if c.ID, ok = store.ParseID(req.GetId()); !ok {
		return nil, refusal.NotFound("post")
	}
	if err := s.limits.Take(ctx, s.perAuthor(c.Tenant, author)); err != nil {
		return nil, s.refuse(ctx, "update a post", err)
	}
	made, err := s.store.UpdatePost(ctx, c)
	if err != nil {
		return nil, s.refuseWrite(ctx, "update a post", cache.ID{Tenant: c.Tenant, Number: c.ID}, err)
	}
	return &blogv1.UpdatePostResponse{Post: s.changed(ctx, made)}, nil
}

// DeletePost implements PostServiceHandler.
func (s *Service) DeletePost(ctx context.Context, req *blogv1.DeletePostRequest) (*blogv1.DeletePostResponse, error) {
	author, err := s.author(req.GetTenant(), req.GetAuthorId())
	if err != nil {
		return nil, err
	}
	id, ok := store.ParseID(req.GetId())
	if !ok {
		return nil, refusal.NotFound("post")
	}
	if err := s.limits.Take(ctx, s.perAuthor(req.GetTenant(), author)); err != nil {
		return nil, s.refuse(ctx, "delete a post", err)
	}
	left, err := s.store.DeletePost(ctx, req.GetTenant(), author, id)
	if err != nil {
		return nil, s.refuseWrite(ctx, "delete a post", cache.ID{Tenant: req.GetTenant(), Number: id}, err)
	}
	s.changed(ctx, left)
	return &blogv1.DeletePostResponse{}, nil
}

// GetPosts implements PostServiceHandler.
func (s *Service) GetPosts(ctx context.Context, req *blogv1.GetPostsRequest) (*blogv1.GetPostsResponse, error) {
	if err := errors.Join(request.Tenant(req.GetTenant()), request.Batch("ids", len(req.GetIds()))); err != nil {
		return nil, err
	}
	reader := cache.Reader{Fresh: req.GetFresh()}
	if viewer, ok := request.UserID(req.GetViewer()); ok { // others have written nothing
		reader.Viewer = store.FormatID(viewer)
	}
	ids := make([]cache.ID, 0, len(req.GetIds()))
	for _, text := range req.GetIds() {
		if number, ok := store.ParseID(text); ok {
			ids = append(ids, cache.ID{Tenant: req.GetTenant(), Number: number})
		}
	}
	found, err := s.posts.Get(ctx, ids, reader)
	if err != nil {
		return nil, s.refuse(ctx, "read posts", err)
	}
	results, size := make([]*blogv1.PostResult, len(req.GetIds())), 0
	for i, text := range req.GetIds() {
		results[i] = &blogv1.PostResult{}
		if number, ok := store.ParseID(text); ok {
			r := found[cache.ID{Tenant: req.GetTenant(), Number: number}]
			results[i].Post, results[i].Stale = r.Value, r.Stale
			size += len(r.Value.GetContent())
		}
	}
	if size > maxAnswer {
		return nil, refusal.Invalid("ids: these posts do not fit into one answer; ask for fewer")
	}
	return &blogv1.GetPostsResponse{Results: results}, nil
}

// ListPosts implements PostServiceHandler. One post more than the page is asked for, to know whether something follows.
func (s *Service) ListPosts(ctx context.Context, req *blogv1.ListPostsRequest) (*blogv1.ListPostsResponse, error) {
	page := store.Page{Tenant: req.GetTenant(), Size: int(req.GetPageSize())}
	if err := request.Tenant(page.Tenant); err != nil {
		return nil, err
	}
	if page.Size == 0 {
		page.Size = defaultPage
	}
	if page.Size < 1 || page.Size > maxPage {
		return nil, refusal.Invalid("page_size: expected 0 to %d", maxPage)
	}
	var ok bool
	if text := req.GetAfter(); text != "" {
		if page.Before, ok = store.ParseID(text); !ok || page.Before == 0 {
			return nil, refusal.Invalid("after: expected what an earlier answer said")
		}
	}
	if text := req.GetAuthorId(); text != "" {
		if page.Author, ok = request.UserID(text); !ok || page.Author == 0 {
			return &blogv1.ListPostsResponse{}, nil // nobody's posts
		}
	}
	page.Size++
	found, err := s.lists.Load(ctx, []store.Page{page}, true)
	if err != nil {
		return nil, s.refuse(ctx, "list posts", err)
	}
	return answer(found[page], page.Size-1), nil
}

// answer makes a page of at most so many posts, or of as many as fit into an answer.
func answer(posts []store.Post, most int) *blogv1.ListPostsResponse {
	resp, size := &blogv1.ListPostsResponse{}, 0
	for n, p := range posts {
		size += len(p.Content)
		if n == most || n > 0 && size > maxAnswer {
			resp.Next = store.FormatID(posts[n-1].ID)
			break
		}
		resp.Posts = append(resp.Posts, message(p))
	}
	return resp
}

// author reads whose call it is.
func (s *Service) author(tenant, text string) (int64, error) {
	if err := request.Tenant(tenant); err != nil {
		return 0, err
	}
	author, ok := request.UserID(text)
	if !ok {
		return 0, refusal.Unauthenticated("author_id: expected a user's id")
	}
	return author, nil
}

func (s *Service) perAuthor(tenant string, author int64) limit.Rule {
	return limit.Rule{What: "post-author", Who: tenant + "\x00" + store.FormatID(author), Rate: s.cfg.WritesPerAuthor}
}

// changed makes a write known, and returns what is left of the post.
func (s *Service) changed(ctx context.Context, p store.Post) *blogv1.Post {
	id, e := entry(p)
	s.posts.Changed(ctx, id, e)
	return e.Value
}

// refuseWrite also sees to it that a write which may have happened will be read.
func (s *Service) refuseWrite(ctx context.Context, what string, id cache.ID, err error) error {
	if errors.Is(err, store.ErrUnknown) {
		s.posts.Doubt(id)
	}
	return s.refuse(ctx, what, err)
}

func (s *Service) refuse(ctx context.Context, what string, err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return refusal.NotFound("post")
	case errors.Is(err, store.ErrNotAuthor):
		return refusal.Denied("the post is another author's")
	case errors.Is(err, store.ErrVersion):
		return refusal.Precondition("the post has changed in the meantime")
	case errors.Is(err, store.ErrKeyReused):
		return refusal.KeyReused()
	default:
		return refusal.Of(ctx, s.log, what, err)
	}
}

func checkTitle(text string) error {
	if n := utf8.RuneCountInString(text); n < 1 || n > maxTitle || strings.ContainsFunc(text, unicode.IsControl) {
		return refusal.Invalid("title: expected 1 to %d characters in a line", maxTitle)
	}
	return nil
}

func checkContent(text string) error {
	if n := utf8.RuneCountInString(text); n < 1 || n > maxContent || strings.ContainsRune(text, 0) {
		return refusal.Invalid("content: expected 1 to %d characters", maxContent)
	}
	return nil
}
