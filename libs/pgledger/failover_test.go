package pgledger_test

import (
	"errors"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/testenv"
)

func openOne(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgledger.Open(t.Context(), config.Postgres{URL: url, PoolSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// behind puts another host before the one of a URL.
func behind(t *testing.T, first, postgres string) string {
	t.Helper()
	u, err := url.Parse(postgres)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = first + "," + u.Host
	settings := u.Query()
	settings.Del("connect_timeout") // as the services have it
	u.RawQuery = settings.Encode()
	return u.String()
}

// A server that is demoted under an open connection counts as away: the connection goes, and the next one may be to
// another server.
func TestConnectionToADemotedServerIsClosed(t *testing.T) {
	t.Parallel()
	pool := openOne(t, testenv.Postgres(t))
	for _, statement := range []string{"CREATE TABLE t (n int)", "SET default_transaction_read_only = on"} {
		if _, err := pool.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	_, err := pool.Exec(t.Context(), "INSERT INTO t VALUES (1)")
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != "25006" {
		t.Fatalf("a write to a server that takes none: %v", err)
	}
	if pgledger.Permanent(err) {
		t.Error("the persister would halt for it")
	}
	if _, err := pool.Exec(t.Context(), "INSERT INTO t VALUES (2)"); err != nil {
		t.Errorf("the pool kept the connection: %v", err)
	}
}

// A server that takes no writes is no primary, whatever the URL says of target_session_attrs.
func TestServerThatTakesNoWritesIsNotUsed(t *testing.T) {
	t.Parallel()
	address := testenv.Postgres(t)
	admin := openOne(t, address)
	if _, err := admin.Exec(t.Context(), `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$`); err != nil {
		t.Fatal(err)
	}
	if err := openOne(t, address).Ping(t.Context()); err == nil {
		t.Error("connected to a server that takes no writes")
	}
	replica, err := pgledger.OpenReplica(t.Context(), config.Postgres{ReplicaURL: address, PoolSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer replica.Close()
	if err := replica.Ping(t.Context()); err != nil {
		t.Errorf("as a replica: %v", err)
	}
}

// A URL may name several hosts. One that refuses and one that does not say a word are passed over.
func TestFirstHostAway(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for name, first := range map[string]string{"refuses": "127.0.0.1:1", "is silent": listener.Addr().String()} {
		begin := time.Now()
		if err := openOne(t, behind(t, first, testenv.Postgres(t))).Ping(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("%s: found the second host after %v", name, took)
		}
	}
}
