package model

import (
	"strconv"
)

// Post is something that can be liked. What was not asked for is not loaded, and what could not be loaded has its error
// instead, so that one part that is missing leaves the others as they are.
type Post struct {
	ID    string
	Count int64 // of likes
	Liked bool  // by who asks
	Text  *Article

	CountErr, LikedErr, TextErr error
}

// LikeCount is the count as a GraphQL Int, which has 32 bits.
func (p *Post) LikeCount() (int32, error) {
	if p.CountErr != nil {
		return 0, p.CountErr
	}
	return asInt(p.ID, p.Count)
}

// LikeCountExact is the count in decimal digits.
func (p *Post) LikeCountExact() (string, error) { return strconv.FormatInt(p.Count, 10), p.CountErr }

// LikedByMe tells whether who asks likes it.
func (p *Post) LikedByMe() (bool, error) { return p.Liked, p.LikedErr }

// Article is what it says, nil if it is no post of this system.
func (p *Post) Article() (*Article, error) { return p.Text, p.TextErr }

// Article is what a post of this system says.
type Article struct {
	Title     string
	Content   string
	Author    *User
	CreatedAt string
	UpdatedAt string
}

// User is somebody who likes and writes. As with Post, what was not asked for is not loaded.
type User struct {
	ID      string
	Known   *Account
	KnowErr error
}

// Account is what is known of them, nil if they have no account of this system.
func (u *User) Account() (*Account, error) { return u.Known, u.KnowErr }

// Account is what is known of who has an account of this system.
type Account struct {
	Name      string
	CreatedAt string
}

// Session is one that has begun.
type Session struct {
	Token     string
	ExpiresAt string
	EndsAt    string
	User      *User
}

// PostPage is a page of posts.
type PostPage struct {
	Posts []*Post
	Next  *string
}

// Like is one that counts.
type Like struct {
	Post    *Post
	User    *User
	LikedAt string
}

// Item is the id of what is liked.
func (l *Like) Item() string { return l.Post.ID }

// LikePage is a page of likes.
type LikePage struct {
	Likes []*Like
	Next  *string
}

// LikeResponse is the answer to a like or an unlike.
type LikeResponse struct {
	Success      bool
	Message      string
	Code         string
	Outcome      Outcome
	Retryable    bool
	RetryAfterMs *int32
	Item         string
	Count        *int64
	Token        *string
	Timestamp    string
}

// LikeCount is the count as a GraphQL Int, which has 32 bits.
func (r *LikeResponse) LikeCount() (*int32, error) {
	if r.Count == nil {
		return nil, nil //nolint:nilnil // there is none
	}
	count, err := asInt(r.Item, *r.Count)
	return &count, err
}

// LikeCountExact is the count in decimal digits.
func (r *LikeResponse) LikeCountExact() *string {
	if r.Count == nil {
		return nil
	}
	text := strconv.FormatInt(*r.Count, 10)
	return &text
}
