package pgledger

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrationLock is the advisory lock of a running migration; any number that nobody else uses.
const migrationLock = 0x6c76_6d69 // "lvmi"

// Migrate brings the tables to this version and makes the partitions of the next days. Many may call it at once: one
// works, the others wait and find nothing to do.
func Migrate(ctx context.Context, url string, log *slog.Logger) error {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return fmt.Errorf("postgres URL: %w", err)
	}
	quickToNotice(cfg)
	primaryOnly(cfg)
	db := stdlib.OpenDB(*cfg)
	err = errors.Join(migrate(ctx, db, log), db.Close())
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if err := partitionsOnce(ctx, cfg); err != nil {
		// The default partitions take what comes, and a persister makes the daily ones later.
		log.WarnContext(ctx, "daily partitions", "error", err)
	}
	return nil
}

// SchemaVersion is which version the tables have, and which one this program needs.
func SchemaVersion(ctx context.Context, url string) (has, want int64, err error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return 0, 0, fmt.Errorf("postgres URL: %w", err)
	}
	quickToNotice(cfg)
	primaryOnly(cfg)
	db := stdlib.OpenDB(*cfg)
	defer db.Close()
	var there bool
	if err := db.QueryRowContext(ctx, "SELECT to_regclass($1) IS NOT NULL", goose.DefaultTablename).Scan(&there); err != nil {
		return 0, 0, fmt.Errorf("version of the tables: %w", err)
	}
	migrations, err := provider(db)
	if err != nil {
		return 0, 0, err
	}
	for _, m := range migrations.ListSources() {
		want = max(want, m.Version)
	}
	if !there { // asking goose would make its table
		return 0, want, nil
	}
	if has, err = migrations.GetDBVersion(ctx); err != nil {
		return 0, 0, fmt.Errorf("version of the tables: %w", err)
	}
	return has, want, nil
}

func provider(db *sql.DB) (*goose.Provider, error) {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithSessionLocker(sessionLock{}), goose.WithDisableGlobalRegistry(true))
}

func migrate(ctx context.Context, db *sql.DB, log *slog.Logger) error {
	provider, err := provider(db)
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

func partitionsOnce(ctx context.Context, cfg *pgx.ConnConfig) error {
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return fmt.Errorf("make partitions: %w", err)
	}
	return errors.Join(EnsurePartitions(ctx, conn, time.Now()), conn.Close(ctx))
}

// sessionLock is a goose session locker that waits as long as ctx lets it. It tries again and again, since a session that
// waits inside pg_advisory_lock holds a snapshot, and CREATE INDEX CONCURRENTLY would wait for that.
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
		case <-time.After(100 * time.Millisecond):
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
