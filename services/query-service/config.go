package queryservice

import (
	"errors"
	"time"

	"github.com/littlevote/littlevote/libs/config"
)

// Config is everything that can be set.
type Config struct {
	config.Dev
	Query       Query              `key:"query"`
	Admin       config.Admin       `key:"admin"`
	Trace       config.Trace       `key:"trace"`
	Redis       config.Redis       `key:"redis"`
	Postgres    config.Postgres    `key:"postgres"`
	Participant config.Participant `key:"participant"`
	TLS         config.TLS         `key:"tls"`
}

// Query is the group "query".
type Query struct {
	Listen  string        `key:"listen" help:"host:port of the RPC service"`
	Workers int           `key:"workers" help:"fetches of one ballot that are on their way at once, 1 to 64"`
	Queue   int           `key:"queue" help:"reads of one ballot that may wait; more are refused as OVERLOADED, 1 to 1000000"`
	Timeout time.Duration `key:"timeout" help:"how long a fetch from Postgres may take, 10ms to 30s"`
}

// DefaultConfig is one instance on this machine.
func DefaultConfig() Config {
	return Config{
		Query:       Query{Listen: "127.0.0.1:8103", Workers: 2, Queue: 20_000, Timeout: 2 * time.Second},
		Admin:       config.Admin{Listen: "127.0.0.1:9103"},
		Trace:       config.DefaultTrace(),
		Redis:       config.DefaultRedis(),
		Postgres:    config.DefaultPostgres(),
		Participant: config.DefaultParticipant(),
	}
}

// Validate checks the limits.
func (q Query) Validate() error {
	return errors.Join(
		config.Address("listen", q.Listen),
		config.Between("workers", q.Workers, 1, 64),
		config.Between("queue", q.Queue, 1, 1_000_000),
		config.Between("timeout", q.Timeout, 10*time.Millisecond, 30*time.Second),
	)
}
