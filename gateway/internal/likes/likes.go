package likes

import (
	"context"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/tenant"
	blogv1 "github.com/littlevote/littlevote/proto/gen/littlevote/blog/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

const (
	// MaxItems bounds what one call asks about.
	MaxItems = 1000
	// MaxPage bounds a page, and DefaultPage is how long one is.
	MaxPage     = 100
	DefaultPage = 20

	maxItem   = 64  // characters
	maxCursor = 256 // bytes

	userPrefix = "user:"
)

// Ballot is the full name of the tenant's ballot of likes, on which an item's count is.
func Ballot(of string) string { return tenant.Ballot{Tenant: tenant.Name(of), ID: "likes"}.Full() }

// ValidItem reports whether an item can be called so.
func ValidItem(name string) bool {
	for i := range len(name) {
		c := name[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && strings.IndexByte("_:-", c) < 0 {
			return false
		}
	}
	return name != "" && len(name) <= maxItem
}

// userOf returns the id of the user who is this voter, empty for a voter who is no user of ours.
func userOf(voter string) string {
	id, ok := strings.CutPrefix(voter, userPrefix)
	if !ok {
		return ""
	}
	return id
}

// UserID is how a voter is called outside: users of ours by their id, others as the ledger has them.
func UserID(voter string) string {
	if id := userOf(voter); id != "" {
		return id
	}
	return voter
}

// VoterOf is the opposite of UserID; false for what names nobody.
func VoterOf(id string) (string, bool) {
	switch {
	case strings.HasPrefix(id, "jwt:"):
		return id, ValidItem(id) // as long, and of as few characters
	case IsUser(id):
		return userPrefix + id, true
	default:
		return "", false
	}
}

// IsUser reports whether an id has the form of those of users, and of posts.
func IsUser(id string) bool {
	const digits = 16
	return len(id) == digits && strings.Trim(id, "0123456789") == ""
}

// Change likes an item, or takes a like back.
func (b *Blog) Change(ctx context.Context, caller Caller, item, key string, unlike bool) *blogv1.LikeVerdict {
	if caller.Voter == "" {
		verdict := refused(statusv1.Code_CODE_UNAUTHENTICATED, 0)
		verdict.Retryable, verdict.RetryAfter = false, nil
		return verdict
	}
	if !ValidItem(item) {
		verdict := refused(statusv1.Code_CODE_INVALID_ARGUMENT, 0)
		verdict.Retryable, verdict.RetryAfter = false, nil
		return verdict
	}
	return b.changes.decide(ctx, &blogv1.LikeChange{
		Tenant: caller.Tenant, Voter: caller.Voter, Item: item, Unlike: unlike, IdempotencyKey: key, Address: caller.Address,
	})
}

// HasLiked tells which of the items the caller likes: none of them, for somebody unknown.
func (b *Blog) HasLiked(ctx context.Context, caller Caller, items []string) ([]bool, error) {
	if len(items) == 0 || caller.Voter == "" {
		return make([]bool, len(items)), nil
	}
	response, err := ask(ctx, b, b.likes.HasLiked, &blogv1.HasLikedRequest{Tenant: caller.Tenant, Voter: caller.Voter, Items: items})
	if err != nil {
		return nil, err
	}
	if len(response.GetLiked()) != len(items) {
		return nil, answer.RefusalOf(errLength)
	}
	return response.GetLiked(), nil
}

// Page says which part of a list is wanted.
type Page struct {
	First   int
	After   string
	AtLeast string
}

// Valid reports whether a page may be asked for.
func (p Page) Valid() bool { return p.First >= 1 && p.First <= MaxPage && len(p.After) <= maxCursor }

// Like is one that counts.
type Like struct {
	Item  string
	Voter string
	At    *timestamppb.Timestamp
}

// LikesOf returns what a voter of the caller's tenant likes, newest first, and what to ask for next.
func (b *Blog) LikesOf(ctx context.Context, caller Caller, voter string, page Page) ([]Like, string, error) {
	response, err := ask(ctx, b, b.likes.ListMyLikes, &blogv1.ListMyLikesRequest{
		Tenant: caller.Tenant, Voter: voter, PageSize: int32(page.First), After: page.After, AtLeast: page.AtLeast,
	})
	if err != nil {
		return nil, "", err
	}
	return listed(response.GetLikes()), response.GetNext(), nil
}

// Likers returns who likes an item, newest first, and what to ask for next.
func (b *Blog) Likers(ctx context.Context, caller Caller, item string, page Page) ([]Like, string, error) {
	response, err := ask(ctx, b, b.likes.ListLikers, &blogv1.ListLikersRequest{
		Tenant: caller.Tenant, Item: item, PageSize: int32(page.First), After: page.After, AtLeast: page.AtLeast,
	})
	if err != nil {
		return nil, "", err
	}
	return listed(response.GetLikes()), response.GetNext(), nil
}

func listed(likes []*blogv1.ItemLike) []Like {
	list := make([]Like, len(likes))
	for i, like := range likes {
		list[i] = Like{Item: like.GetItem(), Voter: like.GetVoter(), At: like.GetLikedAt()}
	}
	return list
}

// Message is what to say of a verdict to people.
func Message(texts *answer.Texts, language answer.Language, code statusv1.Code, unlike bool) string {
	if code != statusv1.Code_CODE_OK {
		return texts.Say(answer.ForCode(code), language)
	}
	switch {
	case language == answer.Chinese && unlike:
		return "取消点赞成功"
	case language == answer.Chinese:
		return "点赞成功"
	case unlike:
		return "No longer liked"
	default:
		return "Liked"
	}
}
