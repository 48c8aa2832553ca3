package testenv

import (
	"context"
	"errors"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// dropTimeout bounds what a test's end waits for its database to go.
	dropTimeout = 30 * time.Second
	// connectTimeout is in seconds: other tests share the machine, and the services' own would be too short then.
	connectTimeout = "20"
)

// Postgres is the URL of a fresh, empty database, which is dropped when the test ends.
func Postgres(t testing.TB) string {
	t.Helper()
	admin := os.Getenv("LITTLEVOTE_TEST_POSTGRES_URL")
	if admin == "" {
		postgres, err := sharedPostgres()
		if err != nil {
			t.Fatal(err)
		}
		admin = postgres.server.URL()
	}
	database := randomName("test_")
	fresh, err := withDatabase(admin, database)
	if err != nil {
		t.Fatal(err)
	}
	name := pgx.Identifier{database}.Sanitize()
	if err := execute(t.Context(), admin, "CREATE DATABASE "+name); err != nil {
		t.Fatalf("make a database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), dropTimeout)
		defer cancel()
		// FORCE: a pool that the test has not closed must not keep the database.
		if err := execute(ctx, admin, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
	})
	return fresh
}

func withDatabase(admin, database string) (string, error) {
	u, err := url.Parse(admin)
	if err != nil {
		return "", err
	}
	u.Path = "/" + database
	settings := u.Query()
	settings.Set("connect_timeout", connectTimeout)
	u.RawQuery = settings.Encode()
	return u.String(), nil
}

func execute(ctx context.Context, databaseURL, statement string) error {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}
