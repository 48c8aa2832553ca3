package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Post is what somebody has written. One that is deleted has neither title nor content.
type Post struct {
	ID        int64
	Tenant    string
	Author    int64
	Title     string
	Content   string
	Version   int64
	CreatedAt time.Time
	UpdatedAt time.Time
	Deleted   bool
}

const postColumns = "id, tenant, author, title, content, version, created_at, updated_at, deleted_at IS NOT NULL"

// NewPost is what a post is made of.
type NewPost struct {
	Tenant  string
	Author  int64
	Title   string
	Content string
	Key     uuid.UUID // for retries; the zero value is none
}

// CreatePost makes a post, or finds the one that was made under its key; ErrNotFound if the tenant has no such author,
// ErrKeyReused if the key's post was made with other contents.
func (s *Store) CreatePost(ctx context.Context, p NewPost) (Post, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	hash := contentsHash(p.Title, p.Content)
	key := uuid.NullUUID{UUID: p.Key, Valid: p.Key != uuid.Nil}
	for range idsTried {
		made, err := one(s.pool.Query(ctx, newID+`
			INSERT INTO blog_posts (id, tenant, author, title, content, created_at, updated_at, idempotency_key, created_hash)
			SELECT id, $2, $3, $4, $5, at, at, $6, $7 FROM moment
			ON CONFLICT DO NOTHING RETURNING `+postColumns,
			withinMicro(), p.Tenant, p.Author, p.Title, p.Content, key, hash))
		switch {
		case err == nil:
			return made, nil
		case violates(err, foreignKeyViolation, "blog_posts_author"):
			return Post{}, ErrNotFound
		case !errors.Is(err, pgx.ErrNoRows):
			return Post{}, writeError("create a post", err)
		}
		// The id is taken, or the key.
		if made, err := s.underKey(ctx, p, hash); key.Valid && !errors.Is(err, ErrNotFound) {
			return made, err
		}
	}
	return Post{}, errNoFreeID
}

func (s *Store) underKey(ctx context.Context, p NewPost, hash []byte) (Post, error) {
	var before []byte
	err := s.pool.QueryRow(ctx, "SELECT created_hash FROM blog_posts WHERE tenant = $1 AND author = $2 AND idempotency_key = $3",
		p.Tenant, p.Author, p.Key).Scan(&before)
	if errors.Is(err, pgx.ErrNoRows) {
		return Post{}, ErrNotFound
	}
	if err != nil {
		return Post{}, fmt.Errorf("post by key: %w", err)
	}
	if !bytes.Equal(before, hash) {
		return Post{}, ErrKeyReused
	}
	made, err := one(s.pool.Query(ctx, "SELECT "+postColumns+" FROM blog_posts WHERE author = $1 AND idempotency_key = $2", p.Author, p.Key))
	if err != nil {
		return Post{}, fmt.Errorf("post by key: %w", err)
	}
	return made, nil
}

// Change is what UpdatePost changes; what is empty stays.
type Change struct {
	Tenant    string
	Author    int64
	ID        int64
	Title     string
	Content   string
	IfVersion int64 // 0: whatever it is
}

// UpdatePost changes a post; ErrNotFound, ErrNotAuthor or ErrVersion if it does not.
func (s *Store) UpdatePost(ctx context.Context, c Change) (Post, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	changed, err := one(s.pool.Query(ctx, `
		UPDATE blog_posts SET title = coalesce(nullif($4, ''), title), content = coalesce(nullif($5, ''), content),
			version = version + 1, updated_at = clock_timestamp()
		WHERE tenant = $1 AND author = $2 AND id = $3 AND deleted_at IS NULL AND ($6::bigint = 0 OR version = $6)
		RETURNING `+postColumns, c.Tenant, c.Author, c.ID, c.Title, c.Content, c.IfVersion))
	if errors.Is(err, pgx.ErrNoRows) {
		return Post{}, s.whyNot(ctx, c)
	}
	if err != nil {
		return Post{}, writeError("update a post", err)
	}
	return changed, nil
}

// DeletePost takes a post away, and returns what is left of it; ErrNotFound or ErrNotAuthor if it is not the author's.
func (s *Store) DeletePost(ctx context.Context, tenant string, author, id int64) (Post, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	left, err := one(s.pool.Query(ctx, `
		UPDATE blog_posts SET title = '', content = '', version = version + 1, deleted_at = clock_timestamp(), updated_at = clock_timestamp()
		WHERE tenant = $1 AND author = $2 AND id = $3 AND deleted_at IS NULL RETURNING `+postColumns, tenant, author, id))
	if err == nil {
		return left, nil
	}
	if !errors.Is(err, pgx.ErrNoRows) {
		return Post{}, writeError("delete a post", err)
	}
	left, err = one(s.pool.Query(ctx, "SELECT "+postColumns+" FROM blog_posts WHERE tenant = $1 AND id = $2", tenant, id))
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return Post{}, ErrNotFound
	case err != nil:
		return Post{}, fmt.Errorf("delete a post: %w", err)
	case left.Author != author:
		return Post{}, ErrNotAuthor
	default:
		return left, nil // it was gone before
	}
}

// whyNot says why an update found nothing to update.
func (s *Store) whyNot(ctx context.Context, c Change) error {
	found, err := one(s.pool.Query(ctx, "SELECT "+postColumns+" FROM blog_posts WHERE tenant = $1 AND id = $2", c.Tenant, c.ID))
	switch {
	case errors.Is(err, pgx.ErrNoRows), err == nil && found.Deleted:
		return ErrNotFound
	case err != nil:
		return fmt.Errorf("update a post: %w", err)
	case found.Author != c.Author:
		return ErrNotAuthor
	default:
		return ErrVersion
	}
}

// Posts returns those that there are, and what is left of deleted ones. Whose tenant they are must be looked at.
func (s *Store) Posts(ctx context.Context, ids []int64) ([]Post, error) {
	rows, err := s.pool.Query(ctx, "SELECT "+postColumns+" FROM blog_posts WHERE id = ANY($1)", ids)
	if err != nil {
		return nil, fmt.Errorf("posts: %w", err)
	}
	posts, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Post])
	if err != nil {
		return nil, fmt.Errorf("posts: %w", err)
	}
	return posts, nil
}

// Page names a page of posts.
type Page struct {
	Tenant string
	Author int64 // 0: of all
	Before int64 // only older ones; 0: from the newest
	Size   int
}

// ListPosts returns a page, newest first.
func (s *Store) ListPosts(ctx context.Context, p Page) ([]Post, error) {
	before := p.Before
	if before == 0 {
		before = math.MaxInt64
	}
	query, args := "SELECT "+postColumns+" FROM blog_posts WHERE tenant = $1 AND id < $2 AND deleted_at IS NULL", []any{p.Tenant, before, p.Size}
	if p.Author != 0 {
		query, args = query+" AND author = $4", append(args, p.Author)
	}
	rows, err := s.pool.Query(ctx, query+" ORDER BY id DESC LIMIT $3", args...)
	if err != nil {
		return nil, fmt.Errorf("list posts: %w", err)
	}
	posts, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Post])
	if err != nil {
		return nil, fmt.Errorf("list posts: %w", err)
	}
	return posts, nil
}

func one(rows pgx.Rows, err error) (Post, error) {
	if err != nil {
		return Post{}, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Post])
}

// contentsHash tells two contents apart, and where the title ends.
func contentsHash(title, content string) []byte {
	h := sha256.New()
	_ = binary.Write(h, binary.BigEndian, int64(len(title))) // a hash takes everything
	h.Write([]byte(title))
	h.Write([]byte(content))
	return h.Sum(nil)
}
