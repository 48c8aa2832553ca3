package servers

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/littlevote/littlevote/tools/internal/scope"
)

// postgresTimeout bounds every statement of a fault.
const postgresTimeout = 20 * time.Second

// Database makes a database for one run and returns its URL; it goes with the scope.
func Database(t scope.Scope, admin string) string {
	t.Helper()
	name := "faults_" + strings.ToLower(rand.Text()[:12])
	if err := Execute(t.Context(), admin, "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Execute(context.Background(), admin, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			t.Logf("database %s stays: %v", name, err)
		}
	})
	return WithDatabase(t, admin, name)
}

// WithDatabase is the URL of another database on the same server.
func WithDatabase(t scope.Scope, admin, name string) string {
	t.Helper()
	u, err := url.Parse(admin)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// Execute runs one statement over a connection of its own.
func Execute(ctx context.Context, server, statement string) error {
	ctx, cancel := context.WithTimeout(ctx, postgresTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}
