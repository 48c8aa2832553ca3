package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

const (
	// migrationLock is the advisory lock of a running migration; any number that nobody else uses.
	migrationLock = 0x6c76_626c // "lvbl"
	// versionTable is not the ledger's: the two are brought up to date by themselves.
	versionTable = "blog_db_version"
	retryPause   = 100 * time.Millisecond
)

// Migrate brings the blog's tables to this version. Many may call it at once: one works, the others wait and find
// nothing to do.
func Migrate(ctx context.Context, pool *pgxpool.Pool, log *slog.Logger) error {
	db := stdlib.OpenDBFromPool(pool)
	if err := errors.Join(migrate(ctx, db, log), db.Close()); err != nil {
		return fmt.Errorf("migrate the blog: %w", err)
	}
	return nil
}

func migrate(ctx context.Context, db *sql.DB, log *slog.Logger) error {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return err
	}
	versions, err := database.NewStore(database.DialectPostgres, versionTable)
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectCustom, db, files,
		goose.WithStore(versions), goose.WithSessionLocker(sessionLock{}), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	done, err := provider.Up(ctx)
	if err != nil {
		return err
	}
	for _, m := range done {
		log.InfoContext(ctx, "migrated", "file", m.Source.Path, "took", m.Duration)
	}
	return nil
}

// sessionLock is a goose session locker that waits as long as ctx lets it, without holding a snapshot while it waits.
type sessionLock struct{}

// SessionLock is part of goose's lock.SessionLocker.
func (sessionLock) SessionLock(ctx context.Context, conn *sql.Conn) error {
	for {
		var ok bool
		if err := conn.QueryRowContext(ctx, "SELECT pg_try_advisory_lock($1)", migrationLock).Scan(&ok); err != nil {
			return fmt.Errorf("lock: %w", err)
		}
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("another migration is running: %w", ctx.Err())
		case <-time.After(retryPause):
		}
	}
}

// SessionUnlock is part of goose's lock.SessionLocker.
func (sessionLock) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_unlock($1)", migrationLock); err != nil {
		return fmt.Errorf("unlock: %w", err)
	}
	return nil
}
