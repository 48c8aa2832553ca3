package ledger

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
)

// A server that takes connections and never answers keeps nobody for long.
func TestPostgresThatHangs(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	pool, err := pgledger.Open(t.Context(), config.Postgres{
		URL: "postgres://nobody@" + listener.Addr().String() + "/nothing?sslmode=disable&connect_timeout=60", PoolSize: 4,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	started, store := time.Now(), Postgres{Pool: pool}
	if _, err := store.Ticket(t.Context(), inPostgres, "main"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if _, _, _, err := store.Mint(t.Context(), inPostgres, "main", redisledger.Mint{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if took := time.Since(started); took > 4*postgresTimeout {
		t.Errorf("gave up after %v", took)
	}
}
