package redisledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/tlsfiles"
)

// The schemes of the URLs that Open takes beside those of a single Redis (redis, rediss, unix). With TLS they begin with rediss.
const (
	clusterScheme  = "redis+cluster"
	sentinelScheme = "redis+sentinel"
	secureCluster  = "rediss+cluster"
	secureSentinel = "rediss+sentinel"
)

// Open connects to a Redis, a Redis Cluster (redis+cluster://host:port,host:port) or to the master that Sentinels name
// (redis+sentinel://host:port,host:port/master-name), with the settings that scripts need: no retries by the library, and
// every call bounded by timeout. User and password are those of the Redis itself.
func Open(url string, poolSize int, timeout time.Duration) (redis.UniversalClient, error) {
	return Connect(config.Redis{URL: url, PoolSize: poolSize, Timeout: timeout}, slog.Default())
}

// Connect is Open with all settings: files for TLS, which are read again when they change, and the login of the Sentinels.
func Connect(cfg config.Redis, log *slog.Logger) (redis.UniversalClient, error) {
	return connect(cfg, cfg.Timeout, log)
}

func connect(cfg config.Redis, dialTimeout time.Duration, log *slog.Logger) (redis.UniversalClient, error) {
	redis.SetLogger(libraryLog{})
	t, err := parse(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("redis.url: %w", err)
	}
	dial, err := secureDialer(cfg, dialTimeout, log)
	if err != nil {
		return nil, err
	}
	timeout, poolSize := cfg.Timeout, cfg.PoolSize
	switch {
	case t.cluster:
		return redis.NewClusterClient(&redis.ClusterOptions{
			Addrs: t.hosts, Username: t.user, Password: t.password, Dialer: dial,
			MaxRetries: -1, DialerRetries: 1, PoolSize: poolSize,
			DialTimeout: dialTimeout, ReadTimeout: timeout, WriteTimeout: timeout, PoolTimeout: timeout,
			ContextTimeoutEnabled: true, DisableIdentity: true,
			// Redirections are followed; what else would be sent again is kept from it call by call (see run).
			MaxRedirects: 3, DisableRoutingPolicies: true,
			// A node that died tells nobody that it did.
			ClusterStateReloadInterval: time.Second,
		}), nil
	case t.master != "":
		return redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: t.master, SentinelAddrs: t.hosts, Username: t.user, Password: t.password, Dialer: dial,
			SentinelUsername: cfg.SentinelUser, SentinelPassword: cfg.SentinelPassword,
			MaxRetries: -1, DialerRetries: 1, PoolSize: poolSize,
			DialTimeout: dialTimeout, ReadTimeout: timeout, WriteTimeout: timeout, PoolTimeout: timeout,
			ContextTimeoutEnabled: true, DisableIdentity: true,
		}), nil
	}
	opts, err := redis.ParseURL(cfg.URL)
	if err != nil {
		return nil, errors.New("redis.url: it does not parse")
	}
	if dial != nil {
		opts.Dialer, opts.TLSConfig = dial, nil
	}
	opts.MaxRetries = -1
	opts.DialerRetries = 1
	opts.PoolSize = poolSize
	opts.DialTimeout = dialTimeout
	opts.ReadTimeout = timeout
	opts.WriteTimeout = timeout
	opts.PoolTimeout = timeout
	opts.ContextTimeoutEnabled = true
	opts.DisableIdentity = true
	return redis.NewClient(opts), nil
}

// keepAlive is what the library's own dialer has.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 5 * time.Second, Count: 3}

// secureDialer is nil where Redis is spoken to in plaintext. It checks that a node's certificate is for the host that the URL,
// the cluster or the Sentinels name it by.
func secureDialer(cfg config.Redis, timeout time.Duration, log *slog.Logger) (func(context.Context, string, string) (net.Conn, error), error) {
	if !cfg.Secure() {
		return nil, nil //nolint:nilnil // No TLS is no error.
	}
	files, err := tlsfiles.Open("redis", cfg.Files(), log)
	if err != nil {
		return nil, err
	}
	return files.Dial(&net.Dialer{Timeout: timeout, KeepAliveConfig: keepAlive}), nil
}

// target is what a URL names that is not of a single Redis.
type target struct {
	cluster        bool
	master         string
	hosts          []string
	user, password string
}

// parse reads the URL of a cluster or of Sentinels; the target of any other is empty. Its errors do not repeat the URL:
// there may be a password in it.
func parse(text string) (target, error) {
	scheme, _, _ := strings.Cut(text, "://")
	cluster := scheme == clusterScheme || scheme == secureCluster
	if !cluster && scheme != sentinelScheme && scheme != secureSentinel {
		return target{}, nil
	}
	u, err := url.Parse(text)
	if err != nil {
		return target{}, errors.New("it does not parse")
	}
	t := target{cluster: cluster, hosts: strings.Split(u.Host, ","), user: u.User.Username()}
	t.password, _ = u.User.Password()
	t.master = strings.TrimPrefix(u.Path, "/")
	for _, h := range t.hosts {
		if host, port, ok := strings.Cut(h, ":"); !ok || host == "" || port == "" {
			return target{}, errors.New("expected host:port, host:port, … behind the scheme")
		}
	}
	if t.cluster && t.master != "" {
		return target{}, errors.New("a Redis Cluster has no databases: nothing may stand behind the hosts")
	}
	if !t.cluster && t.master == "" {
		return target{}, errors.New("expected the master's name as its Sentinels know it: " + scheme + "://host:port/name")
	}
	return t, nil
}

// libraryLog keeps the client library's own lines out of the way: it tells every failed dial, and so does every caller.
type libraryLog struct{}

func (libraryLog) Printf(ctx context.Context, format string, args ...any) {
	slog.DebugContext(ctx, fmt.Sprintf(format, args...)) //nolint:sloglint // the library's text is all there is
}

// pingTimeout is how long a Pinger waits for an answer. A connection has to be there sooner: where one node of a cluster
// swallows what is sent to it, another can still be asked in time who the masters are.
const pingTimeout = 500 * time.Millisecond

// Pinger asks a Redis for a sign of life on a connection of its own, which no vote can keep busy.
type Pinger struct{ ledger *Ledger }

// NewPinger returns a pinger; it connects when it is first used.
func NewPinger(cfg config.Redis, log *slog.Logger) (*Pinger, error) {
	cfg.PoolSize, cfg.Timeout = 1, pingTimeout
	rdb, err := connect(cfg, pingTimeout/3, log)
	if err != nil {
		return nil, err
	}
	return &Pinger{ledger: New(rdb)}, nil
}

// Ping returns nil if the Redis answers, takes writes, and evicts nothing: every master of a cluster, or the one master. It does not try
// twice, and takes at most half a second.
func (p *Pinger) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	return p.ledger.eachMaster(ctx, func(ctx context.Context, node redis.UniversalClient) error {
		if err := node.Ping(ctx).Err(); err != nil {
			return err
		}
		r, err := role(ctx, node)
		if err == nil && !r.Master {
			err = errReplica
		}
		return err
	})
}

var errReplica = errors.New("redisledger: this Redis is a replica")

// Close ends the pinger's connections.
func (p *Pinger) Close() error { return p.ledger.rdb.Close() }

// eachMaster calls f for every master: of a cluster all at once, else there is one.
func (l *Ledger) eachMaster(ctx context.Context, f func(context.Context, redis.UniversalClient) error) error {
	if c, ok := l.rdb.(*redis.ClusterClient); ok {
		return c.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return f(ctx, node) })
	}
	return f(ctx, l.rdb)
}
