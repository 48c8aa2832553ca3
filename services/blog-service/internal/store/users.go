package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// User is somebody who has registered.
type User struct {
	ID        int64
	Tenant    string
	Name      string
	CreatedAt time.Time
}

// newID begins a statement that inserts a row: its moment has a fresh id, if $1 is a number below idsPerMicro, and the id's
// time. Of two rows that one writer makes, the later one has the greater id.
const newID = `WITH now AS (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS micro), moment AS (
	SELECT micro / 1000 * 4096 + micro % 1000 * 4 + $1 AS id, to_timestamp(micro / 1000 / 1000.0) AS at FROM now) `

// CreateUser makes a user; ErrExists if the tenant has one of that key.
func (s *Store) CreateUser(ctx context.Context, tenant, name, nameKey, passwordHash string) (User, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	for range idsTried {
		u := User{Tenant: tenant, Name: name}
		err := s.pool.QueryRow(ctx, newID+`
			INSERT INTO blog_users (id, tenant, name, name_key, password_hash, created_at)
			SELECT id, $2, $3, $4, $5, at FROM moment
			ON CONFLICT (id) DO NOTHING RETURNING id, created_at`,
			withinMicro(), tenant, name, nameKey, passwordHash).Scan(&u.ID, &u.CreatedAt)
		switch {
		case err == nil:
			return u, nil
		case errors.Is(err, pgx.ErrNoRows): // the id is taken
		case violates(err, uniqueViolation, "blog_users_name"):
			return User{}, ErrExists
		default:
			return User{}, writeError("create a user", err)
		}
	}
	return User{}, errNoFreeID
}

// Credentials returns a user by key with the hash of the password; ErrNotFound if there is none.
func (s *Store) Credentials(ctx context.Context, tenant, nameKey string) (User, string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	u, hash := User{Tenant: tenant}, ""
	err := s.pool.QueryRow(ctx, "SELECT id, name, created_at, password_hash FROM blog_users WHERE tenant = $1 AND name_key = $2",
		tenant, nameKey).Scan(&u.ID, &u.Name, &u.CreatedAt, &hash)
	if errors.Is(err, pgx.ErrNoRows) {
		return User{}, "", ErrNotFound
	}
	if err != nil {
		return User{}, "", fmt.Errorf("credentials: %w", err)
	}
	return u, hash, nil
}

// Users returns those that there are. Whose tenant they are must be looked at.
func (s *Store) Users(ctx context.Context, ids []int64) ([]User, error) {
	rows, err := s.pool.Query(ctx, "SELECT id, tenant, name, created_at FROM blog_users WHERE id = ANY($1)", ids)
	if err != nil {
		return nil, fmt.Errorf("users: %w", err)
	}
	users, err := pgx.CollectRows(rows, pgx.RowToStructByPos[User])
	if err != nil {
		return nil, fmt.Errorf("users: %w", err)
	}
	return users, nil
}
