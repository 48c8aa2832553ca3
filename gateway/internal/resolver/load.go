package resolver

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/littlevote/littlevote/gateway/graph/model"
	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/likes"
	"github.com/littlevote/littlevote/gateway/internal/reads"
	blogv1 "github.com/littlevote/littlevote/proto/gen/littlevote/blog/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// What posts and users hold is loaded for all of a list at once, before their fields are looked at: one call a kind,
// whatever their number, and none for what the document does not ask for.

// selection is what is asked of the field that is being resolved.
func selection(ctx context.Context) ast.SelectionSet {
	return graphql.GetFieldContext(ctx).Field.Selections
}

// under is what is asked of a field in a selection, by its name; nothing where it is not there. Conditions are not looked
// at: at worst something is loaded in vain.
func under(ctx context.Context, set ast.SelectionSet, name string) ast.SelectionSet {
	var below ast.SelectionSet
	walk(graphql.GetOperationContext(ctx).Doc, set, make(map[string]bool), func(field *ast.Field) {
		if field.Name == name {
			below = append(below, field.SelectionSet...)
		}
	})
	return below
}

// asks reports whether one of these fields is in a selection.
func asks(ctx context.Context, set ast.SelectionSet, names ...string) (found bool) {
	walk(graphql.GetOperationContext(ctx).Doc, set, make(map[string]bool), func(field *ast.Field) {
		found = found || slices.Contains(names, field.Name)
	})
	return found
}

// walk goes to each field of a selection, once into each fragment. (graphql.CollectFields is not for selections that are put
// together here: it remembers them by their address.)
func walk(doc *ast.QueryDocument, set ast.SelectionSet, seen map[string]bool, visit func(*ast.Field)) {
	for _, selected := range set {
		switch selected := selected.(type) {
		case *ast.Field:
			visit(selected)
		case *ast.InlineFragment:
			walk(doc, selected.SelectionSet, seen, visit)
		case *ast.FragmentSpread:
			if fragment := doc.Fragments.ForName(selected.Name); fragment != nil && !seen[selected.Name] {
				seen[selected.Name] = true
				walk(doc, fragment.SelectionSet, seen, visit)
			}
		}
	}
}

// loadPosts fills in what is asked of posts. Their texts may be there already.
func (r *Resolver) loadPosts(ctx context.Context, set ast.SelectionSet, posts ...*model.Post) {
	var parts sync.WaitGroup
	if asks(ctx, set, "likeCount", "likeCountExact") {
		parts.Go(func() { r.loadCounts(ctx, posts) })
	}
	if asks(ctx, set, "likedByMe") {
		parts.Go(func() { r.loadLiked(ctx, posts) })
	}
	if asks(ctx, set, "article") {
		parts.Go(func() { r.loadArticles(ctx, under(ctx, set, "article"), posts) })
	}
	parts.Wait()
}

func (r *Resolver) loadCounts(ctx context.Context, posts []*model.Post) {
	_, caller, err := r.blog(ctx)
	var candidates []reads.Candidate
	var asked []*model.Post
	for _, post := range posts {
		if post.CountErr = err; err == nil && likes.ValidItem(post.ID) { // nobody can like anything else
			candidates = append(candidates, reads.Candidate{Ballot: likes.Ballot(caller.Tenant), Name: post.ID})
			asked = append(asked, post)
		}
	}
	r.cfg.Tallies.Many(ctx, candidates, func(i int, vote *model.UserVote, err error) {
		var refused *answer.Refusal
		switch {
		case err == nil:
			asked[i].Count = vote.Count
		case errors.As(err, &refused) && refused.Code == statusv1.Code_CODE_BALLOT_NOT_FOUND: // nobody has liked anything yet
		default:
			asked[i].CountErr = err
		}
	})
}

func (r *Resolver) loadLiked(ctx context.Context, posts []*model.Post) {
	blog, caller, err := r.blog(ctx)
	var items []string
	var asked []*model.Post
	for _, post := range posts {
		if post.LikedErr = err; err == nil && likes.ValidItem(post.ID) {
			items, asked = append(items, post.ID), append(asked, post)
		}
	}
	if len(items) == 0 {
		return
	}
	liked, err := blog.HasLiked(ctx, caller, items)
	for i, post := range asked {
		if post.LikedErr = err; err == nil {
			post.Liked = liked[i]
		}
	}
}

// loadArticles fills in texts, and what is asked of their authors.
func (r *Resolver) loadArticles(ctx context.Context, set ast.SelectionSet, posts []*model.Post) {
	blog, caller, err := r.blog(ctx)
	var ids []string
	var asked []*model.Post
	for _, post := range posts {
		if post.TextErr = err; err == nil && post.Text == nil && likes.IsUser(post.ID) {
			ids, asked = append(ids, post.ID), append(asked, post)
		}
	}
	if len(ids) > 0 {
		found, err := blog.Posts(ctx, caller, ids)
		for i, post := range asked {
			if post.TextErr = err; err == nil && found[i] != nil {
				post.Text = newPost(found[i]).Text
			}
		}
	}
	var authors []*model.User
	for _, post := range posts {
		if post.Text != nil {
			authors = append(authors, post.Text.Author)
		}
	}
	r.loadUsers(ctx, under(ctx, set, "author"), authors...)
}

// loadUsers fills in what is asked of users. Their accounts may be there already.
func (r *Resolver) loadUsers(ctx context.Context, set ast.SelectionSet, users ...*model.User) {
	if !asks(ctx, set, "account") {
		return
	}
	blog, caller, err := r.blog(ctx)
	var ids []string
	var asked []*model.User
	for _, user := range users {
		if user.KnowErr = err; err == nil && user.Known == nil && likes.IsUser(user.ID) {
			ids, asked = append(ids, user.ID), append(asked, user)
		}
	}
	if len(ids) == 0 {
		return
	}
	found, err := blog.Users(ctx, caller, ids)
	for i, user := range asked {
		if user.KnowErr = err; err == nil && found[i] != nil {
			user.Known = newUser(found[i]).Known
		}
	}
}

// likePage makes a page of likes, with what is asked of their posts and users.
func (r *Resolver) likePage(ctx context.Context, found []likes.Like, next string, err error) (*model.LikePage, error) {
	if err != nil {
		return nil, err
	}
	page := &model.LikePage{Likes: make([]*model.Like, len(found)), Next: optional(next)}
	posts, users := make([]*model.Post, len(found)), make([]*model.User, len(found))
	for i, like := range found {
		posts[i], users[i] = &model.Post{ID: like.Item}, &model.User{ID: likes.UserID(like.Voter)}
		page.Likes[i] = &model.Like{Post: posts[i], User: users[i], LikedAt: formatTime(like.At)}
	}
	set := under(ctx, selection(ctx), "likes")
	var parts sync.WaitGroup
	parts.Go(func() { r.loadPosts(ctx, under(ctx, set, "post"), posts...) })
	parts.Go(func() { r.loadUsers(ctx, under(ctx, set, "user"), users...) })
	parts.Wait()
	return page, nil
}

func newPost(post *blogv1.Post) *model.Post {
	return &model.Post{ID: post.GetId(), Text: &model.Article{
		Title: post.GetTitle(), Content: post.GetContent(), Author: &model.User{ID: post.GetAuthorId()},
		CreatedAt: formatTime(post.GetCreatedAt()), UpdatedAt: formatTime(post.GetUpdatedAt()),
	}}
}

func newUser(user *blogv1.User) *model.User {
	return &model.User{ID: user.GetId(), Known: &model.Account{Name: user.GetName(), CreatedAt: formatTime(user.GetCreatedAt())}}
}

// findPosts finds posts for a federation router. What no post of ours is can be one of another subgraph.
func (r *Resolver) findPosts(
	ctx context.Context, representations []map[string]any, found func(i int, entity model.Entity, err error),
) {
	ids, places := keys(representations, found, idOf)
	posts := make([]*model.Post, len(ids))
	for i, id := range ids {
		posts[i] = &model.Post{ID: id}
	}
	r.loadPosts(ctx, selection(ctx), posts...)
	for i, post := range posts {
		found(places[i], post, nil)
	}
}

func (r *Resolver) findUsers(
	ctx context.Context, representations []map[string]any, found func(i int, entity model.Entity, err error),
) {
	ids, places := keys(representations, found, idOf)
	users := make([]*model.User, len(ids))
	for i, id := range ids {
		users[i] = &model.User{ID: id}
	}
	r.loadUsers(ctx, selection(ctx), users...)
	for i, user := range users {
		found(places[i], user, nil)
	}
}

// idOf reads a key that is one id, which a router may send as a number.
func idOf(representation map[string]any) (string, error) {
	id, err := graphql.UnmarshalID(representation["id"])
	if err != nil || representation["id"] == nil {
		return "", answer.NotValid(answer.EntityFormat)
	}
	return id, nil
}
