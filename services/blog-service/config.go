package blogservice

import (
	"errors"
	"time"

	"github.com/littlevote/littlevote/libs/config"
)

// Config is everything that can be set.
type Config struct {
	config.Dev
	Blog     Blog            `key:"blog"`
	Likes    Likes           `key:"likes"`
	Vote     Target          `key:"vote"`
	Query    Target          `key:"query"`
	Admin    config.Admin    `key:"admin"`
	Trace    config.Trace    `key:"trace"`
	Redis    config.Redis    `key:"redis"`
	Postgres config.Postgres `key:"postgres"`
	TLS      config.TLS      `key:"tls"`
}

// Blog is the group "blog".
type Blog struct {
	Listen   string        `key:"listen" help:"host:port of the RPC service"`
	Migrate  bool          `key:"migrate" help:"bring the blog's tables to this version at the start"`
	Workers  int           `key:"workers" help:"fetches of posts or of users from Postgres that are on their way at once, 1 to 64"`
	Queue    int           `key:"queue" help:"posts or users that may wait for a fetch from Postgres; more are refused as OVERLOADED, 1 to 1000000"`
	Timeout  time.Duration `key:"timeout" help:"how long a statement in Postgres may take, 10ms to 30s"`
	Sessions Sessions      `key:"sessions"`
	Hash     Hash          `key:"hash"`
	Limits   Limits        `key:"limits"`
	Cache    Cache         `key:"cache"`
	Hot      Hot           `key:"hot"`
}

// Sessions is the group "blog.sessions".
type Sessions struct {
	Idle     time.Duration `key:"idle" help:"how long a session lasts without being used, 1s to 720h"`
	Lifetime time.Duration `key:"lifetime" help:"how long a session lasts however much it is used, from idle to 8760h"`
}

// Hash is the group "blog.hash".
type Hash struct {
	Workers int `key:"workers" help:"passwords that are hashed at once, 1 to 64; each takes a core and 19 MiB for some 30 ms"`
	Queue   int `key:"queue" help:"logins and registrations that may wait for that; more are refused as OVERLOADED, 1 to 10000"`
}

// Limits is the group "blog.limits": GCRA, with a minute's worth as the burst.
type Limits struct {
	LoginsPerAccount     int `key:"logins-per-account" help:"attempts to log in a minute for one name, 1 to 1000000"`
	LoginsPerAddress     int `key:"logins-per-address" help:"attempts to log in a minute from one address (an IPv6 /64), 1 to 1000000"`
	RegistersPerAddress  int `key:"registers-per-address" help:"registrations a minute from one address (an IPv6 /64), 1 to 1000000"`
	PostWritesPerAuthor  int `key:"post-writes-per-author" help:"posts that one author may write, change or delete a minute, 1 to 1000000"`
	PostWritesPerAddress int `key:"post-writes-per-address" help:"posts that may be written a minute from one address (an IPv6 /64), 1 to 1000000"`
}

// Cache is the group "blog.cache".
type Cache struct {
	LocalSize    int           `key:"local-size" help:"hot posts, and hot users, that this process keeps, 1 to 1000000"`
	LocalTTL     time.Duration `key:"local-ttl" help:"how long it keeps them, 1s to 1h: the bound on their age if every message about a change were lost"`
	SharedTTL    time.Duration `key:"shared-ttl" help:"least time that Redis keeps posts and users, 1s to 24h"`
	SharedJitter time.Duration `key:"shared-jitter" help:"up to how much longer, by chance, so that they do not expire together, 1ms to 24h"`
	AbsentTTL    time.Duration `key:"absent-ttl" help:"how long it is remembered that there is no such post or user, 1ms to 1m"`
}

// Hot is the group "blog.hot": HeavyKeeper.
type Hot struct {
	Width   int           `key:"width" help:"counters in a row of the sketch, 16 to 1000000"`
	Depth   int           `key:"depth" help:"rows of the sketch, 1 to 16"`
	Top     int           `key:"top" help:"how many keys may be hot at once, 1 to 10000"`
	Decay   float64       `key:"decay" help:"base b of the chance b^-count that another key takes one off a counter, above 1 to 2"`
	Least   int           `key:"least" help:"reads that make a key hot, while all counts are halved at each fade, 1 to 1000000"`
	Fade    time.Duration `key:"fade" help:"how often all counts are halved, 100ms to 1h"`
	Publish time.Duration `key:"publish" help:"how often the hot keys are shared with other instances through Redis, 100ms to 1h"`
}

// DefaultConfig is one instance on this machine.
func DefaultConfig() Config {
	return Config{
		Blog: Blog{
			Listen: "127.0.0.1:8105", Migrate: true, Workers: 2, Queue: 10_000, Timeout: 2 * time.Second,
			Sessions: Sessions{Idle: 30 * time.Minute, Lifetime: 24 * time.Hour},
			Hash:     Hash{Workers: 1, Queue: 32},
			Limits: Limits{
				LoginsPerAccount: 10, LoginsPerAddress: 60, RegistersPerAddress: 30, PostWritesPerAuthor: 30, PostWritesPerAddress: 120,
			},
			Cache: Cache{
				LocalSize: 1000, LocalTTL: 5 * time.Minute,
				SharedTTL: 10 * time.Minute, SharedJitter: 2 * time.Minute, AbsentTTL: 5 * time.Second,
			},
			Hot: Hot{Width: 10_000, Depth: 10, Top: 100, Decay: 1.08, Least: 10, Fade: time.Minute, Publish: 5 * time.Minute},
		},
		Likes:    defaultLikes(),
		Vote:     Target{Target: "127.0.0.1:8102"},
		Query:    Target{Target: "127.0.0.1:8103"},
		Admin:    config.Admin{Listen: "127.0.0.1:9105"},
		Trace:    config.DefaultTrace(),
		Redis:    config.DefaultRedis(),
		Postgres: config.DefaultPostgres(),
	}
}

// Validate checks the limits.
func (b Blog) Validate() error {
	return errors.Join(
		config.Address("listen", b.Listen),
		config.Between("workers", b.Workers, 1, 64),
		config.Between("queue", b.Queue, 1, 1_000_000),
		config.Between("timeout", b.Timeout, 10*time.Millisecond, 30*time.Second),
	)
}

// Validate checks the limits.
func (s Sessions) Validate() error {
	return errors.Join(
		config.Between("idle", s.Idle, time.Second, 720*time.Hour),
		config.Between("lifetime", s.Lifetime, s.Idle, 8760*time.Hour),
	)
}

// Validate checks the limits.
func (h Hash) Validate() error {
	return errors.Join(
		config.Between("workers", h.Workers, 1, 64),
		config.Between("queue", h.Queue, 1, 10_000),
	)
}

// Validate checks the limits.
func (l Limits) Validate() error {
	return errors.Join(
		config.Between("logins-per-account", l.LoginsPerAccount, 1, 1_000_000),
		config.Between("logins-per-address", l.LoginsPerAddress, 1, 1_000_000),
		config.Between("registers-per-address", l.RegistersPerAddress, 1, 1_000_000),
		config.Between("post-writes-per-author", l.PostWritesPerAuthor, 1, 1_000_000),
		config.Between("post-writes-per-address", l.PostWritesPerAddress, 1, 1_000_000),
	)
}

// Validate checks the limits.
func (c Cache) Validate() error {
	return errors.Join(
		config.Between("local-size", c.LocalSize, 1, 1_000_000),
		config.Between("local-ttl", c.LocalTTL, time.Second, time.Hour),
		config.Between("shared-ttl", c.SharedTTL, time.Second, 24*time.Hour),
		config.Between("shared-jitter", c.SharedJitter, time.Millisecond, 24*time.Hour),
		config.Between("absent-ttl", c.AbsentTTL, time.Millisecond, time.Minute),
	)
}

// Validate checks the limits.
func (h Hot) Validate() error {
	return errors.Join(
		config.Between("width", h.Width, 16, 1_000_000),
		config.Between("depth", h.Depth, 1, 16),
		config.Between("top", h.Top, 1, 10_000),
		config.Between("decay", h.Decay, 1.0001, 2),
		config.Between("least", h.Least, 1, 1_000_000),
		config.Between("fade", h.Fade, 100*time.Millisecond, time.Hour),
		config.Between("publish", h.Publish, 100*time.Millisecond, time.Hour),
	)
}
