package pgledger

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/multitracer"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/config"
)

const (
	// connectTimeout bounds the wait for each host of a URL, unless the URL has a connect_timeout of its own.
	connectTimeout = 2 * time.Second
	// silence is how long a server may acknowledge nothing before its connection is given up: after a machine has gone
	// without a word, nobody closes it for us.
	silence = 10 * time.Second
	// readOnly is what a server answers to a write that was a primary and is none any more.
	readOnly = "25006"
)

// Open makes a pool of connections to the primary: of several hosts in the URL, to the one that takes writes. It does not
// connect yet: a process starts, and says that it is not ready, while Postgres is away.
func Open(ctx context.Context, cfg config.Postgres) (*pgxpool.Pool, error) {
	return open(ctx, cfg.URL, cfg.PoolSize, primaryOnly)
}

// OpenReplica is Open for the replica, which may be any server that answers.
func OpenReplica(ctx context.Context, cfg config.Postgres) (*pgxpool.Pool, error) {
	return open(ctx, cfg.ReplicaURL, cfg.PoolSize, func(*pgx.ConnConfig) {})
}

func open(ctx context.Context, url string, size int, refine func(*pgx.ConnConfig)) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("postgres URL: %w", err)
	}
	cfg.MaxConns = int32(size)
	cfg.MaxConnIdleTime = 5 * time.Minute
	cfg.HealthCheckPeriod = 5 * time.Second
	// A connection that was idle for a second is asked for a sign of life before it is used.
	cfg.PingTimeout = time.Second
	quickToNotice(cfg.ConnConfig)
	cfg.ConnConfig.Tracer = multitracer.New(statements{}, &timing{})
	refine(cfg.ConnConfig)
	for name, value := range map[string]string{
		"application_name": "littlevote",
		// A process that is frozen inside a transaction holds the epoch's row and the hot tallies: the server ends it.
		"idle_in_transaction_session_timeout": "5s",
		"statement_timeout":                   "30s",
	} {
		if _, given := cfg.ConnConfig.RuntimeParams[name]; !given {
			cfg.ConnConfig.RuntimeParams[name] = value
		}
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("postgres pool: %w", err)
	}
	return pool, nil
}

// quickToNotice bounds how long a server that is gone can hold anybody up.
func quickToNotice(cfg *pgx.ConnConfig) {
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = connectTimeout
	}
	dialer := &net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: silence / 2, Interval: silence / 5, Count: 3},
		Control:         userTimeout,
	}
	cfg.DialFunc = dialer.DialContext
}

// primaryOnly treats a server that takes no writes like one that is away: a connection is not made there, and one that was
// made before the server was demoted is closed, so that the next one finds the new primary.
func primaryOnly(cfg *pgx.ConnConfig) {
	if cfg.ValidateConnect == nil {
		cfg.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	keeps := cfg.OnPgError
	cfg.OnPgError = func(conn *pgconn.PgConn, err *pgconn.PgError) bool {
		return err.Code != readOnly && (keeps == nil || keeps(conn, err))
	}
}
