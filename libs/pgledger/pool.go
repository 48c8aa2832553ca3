package pgledger

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/config"
)

// Open makes a pool of connections to the primary. It does not connect yet: a process starts, and says that it is not
// ready, while Postgres is away.
func Open(ctx context.Context, cfg config.Postgres) (*pgxpool.Pool, error) {
	return open(ctx, cfg.URL, cfg.PoolSize)
}

// OpenReplica is Open for the replica.
func OpenReplica(ctx context.Context, cfg config.Postgres) (*pgxpool.Pool, error) {
	return open(ctx, cfg.ReplicaURL, cfg.PoolSize)
}

func open(ctx context.Context, url string, size int) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("postgres URL: %w", err)
	}
	cfg.MaxConns = int32(size)
	cfg.MaxConnIdleTime = 5 * time.Minute
	cfg.HealthCheckPeriod = 15 * time.Second
	if cfg.ConnConfig.ConnectTimeout == 0 {
		cfg.ConnConfig.ConnectTimeout = 3 * time.Second
	}
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
