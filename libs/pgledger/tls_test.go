package pgledger_test

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/service/servicetest"
	"github.com/littlevote/littlevote/libs/testenv"
)

// speakTLS makes the server of a database speak TLS until the test ends, with a certificate of the CA.
func speakTLS(t *testing.T, database string, files config.TLS) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	var dir string
	if err := conn.QueryRow(t.Context(), "SHOW data_directory").Scan(&dir); err != nil {
		t.Fatal(err)
	}
	cert, key := lend(t, dir, files.CertFile), lend(t, dir, files.KeyFile)
	set := func(ctx context.Context, statements ...string) {
		for _, statement := range append(statements, "SELECT pg_reload_conf()") {
			if _, err := conn.Exec(ctx, statement); err != nil {
				t.Errorf("%s: %v", statement, err)
			}
		}
	}
	set(t.Context(), "ALTER SYSTEM SET ssl_cert_file = "+quoted(cert), "ALTER SYSTEM SET ssl_key_file = "+quoted(key), "ALTER SYSTEM SET ssl = on")
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		set(ctx, "ALTER SYSTEM RESET ssl", "ALTER SYSTEM RESET ssl_cert_file", "ALTER SYSTEM RESET ssl_key_file")
		_ = conn.Close(ctx)
	})
}

// lend copies a file into the server's folder until the test ends, as its own account's: it reads no other's key.
func lend(t *testing.T, dir, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lent := filepath.Join(dir, "test-"+filepath.Base(file))
	if err := os.WriteFile(lent, text, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(lent) })
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && os.Getuid() == 0 {
		if err := os.Chown(lent, int(owner.Uid), int(owner.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	return lent
}

func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// TestPostgresByTLS: with sslmode=verify-full the server must show a certificate of the CA that is for its name.
func TestPostgresByTLS(t *testing.T) {
	database := testenv.Postgres(t)
	ca, other := servicetest.NewCA(t), servicetest.NewCA(t)
	files := ca.Issue(t, service.Persister)
	speakTLS(t, database, files)
	at := func(host, mode, rootCert string) string {
		u, err := url.Parse(database)
		if err != nil {
			t.Fatal(err)
		}
		u.Host = host + ":" + u.Port()
		query := u.Query()
		query.Set("sslmode", mode)
		query.Set("sslrootcert", rootCert)
		u.RawQuery = query.Encode()
		return u.String()
	}
	secure := func(text string) (bool, error) {
		pool, err := pgledger.Open(t.Context(), config.Postgres{URL: text, PoolSize: 1})
		if err != nil {
			return false, err
		}
		defer pool.Close()
		var ssl bool
		err = pool.QueryRow(t.Context(), "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").Scan(&ssl)
		return ssl, err
	}
	testenv.Eventually(t, 20*time.Second, func() error { // The server reads its settings in its own time.
		ssl, err := secure(at("127.0.0.1", "verify-full", files.CAFile))
		if err == nil && !ssl {
			t.Fatal("in plaintext, though verify-full was asked for")
		}
		return err
	})
	for name, text := range map[string]string{
		"another CA":      at("127.0.0.1", "verify-full", other.Issue(t, service.Persister).CAFile),
		"by another name": at("127.0.0.2", "verify-full", files.CAFile),
	} {
		if ssl, err := secure(text); err == nil {
			t.Errorf("%s: connected, TLS %s", name, strconv.FormatBool(ssl))
		}
	}
}
