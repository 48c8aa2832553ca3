package gateway

import (
	"errors"
	"time"

	"github.com/littlevote/littlevote/gateway/internal/conns"
	"github.com/littlevote/littlevote/gateway/internal/limit"
	"github.com/littlevote/littlevote/gateway/internal/visit"
	"github.com/littlevote/littlevote/libs/config"
)

// TLS is the group "gateway.tls": what clients of the gateway see. The group "tls" is for the services behind it.
type TLS struct {
	CertFile string `key:"cert-file" help:"PEM file with the certificate chain that the gateway shows its clients, on each of its ports but the admin's; read again when it changes; empty: no TLS"`
	KeyFile  string `key:"key-file" help:"PEM file with the private key of that certificate"`
}

// Validate checks that a certificate does not come without its key.
func (t TLS) Validate() error { return config.TLS{CertFile: t.CertFile, KeyFile: t.KeyFile}.Validate() }

// CORS is the group "gateway.cors": whose pages may use the API from a browser.
type CORS struct {
	Origins     []string `key:"origins" help:"origins, such as https://www.example.org, with commas between, whose pages may call the API, read its answers and open WebSockets; empty: the gateway's own pages only"`
	Credentials bool     `key:"credentials" help:"the pages of gateway.cors.origins may act with the cookie of a session; without, they need a token in a header"`
}

// Validate checks the origins.
func (c CORS) Validate() error { return validOrigins(c.Origins) }

// trusted are the origins whose pages may use cookies.
func (c CORS) trusted() []string {
	if c.Credentials {
		return c.Origins
	}
	return nil
}

// Timeouts is the group "gateway.timeouts": how long a client may take for its part.
type Timeouts struct {
	Headers time.Duration `key:"headers" help:"longest wait for a request's headers, and for a TLS handshake, 10ms to 1m"`
	Read    time.Duration `key:"read" help:"longest wait for a whole request, 10ms to 5m"`
	Write   time.Duration `key:"write" help:"longest wait for a client to take an answer, beside the time that the request takes, 10ms to 5m"`
	Idle    time.Duration `key:"idle" help:"how long a connection may stay without a request, 10ms to 1h"`
}

func defaultTimeouts() Timeouts {
	return Timeouts{Headers: 5 * time.Second, Read: 10 * time.Second, Write: 10 * time.Second, Idle: 2 * time.Minute}
}

// Validate checks the limits.
func (t Timeouts) Validate() error {
	const least = 10 * time.Millisecond
	return errors.Join(
		config.Between("headers", t.Headers, least, time.Minute),
		config.Between("read", t.Read, least, 5*time.Minute),
		config.Between("write", t.Write, least, 5*time.Minute),
		config.Between("idle", t.Idle, least, time.Hour),
	)
}

// Connections is the group "gateway.connections".
type Connections struct {
	Most       int `key:"most" help:"connections of clients at the same time, 1 to 10000000; more are closed at once"`
	PerAddress int `key:"per-address" help:"of them those of one IPv4 address or IPv6 /64 that is no trusted proxy, 0 to 1000000; 0: as many as there may be"`
}

func defaultConnections() Connections { return Connections{Most: 100_000} }

// Validate checks the limits.
func (c Connections) Validate() error {
	return errors.Join(
		config.Between("most", c.Most, 1, 10_000_000),
		config.Between("per-address", c.PerAddress, 0, 1_000_000),
	)
}

func (c Connections) config(proxies visit.Proxies) conns.Config {
	return conns.Config{Most: c.Most, PerAddress: c.PerAddress, Free: proxies.Hold}
}

// Limits is the group "gateway.limits": how often somebody may ask. A mutation is one request for each of its fields, and so is
// a subscription, and the opening of a WebSocket.
type Limits struct {
	AddressRate  int           `key:"address-rate" help:"requests a second of one IPv4 address or IPv6 /64, 0 to 100000; 0: no limit"`
	AddressBurst int           `key:"address-burst" help:"how many of them may come at once after a pause, 1 to 1000000"`
	NetworkRate  int           `key:"network-rate" help:"requests a second of one IPv6 /48, 0 to 100000; 0: no limit"`
	NetworkBurst int           `key:"network-burst" help:"how many of them may come at once after a pause, 1 to 1000000"`
	VoterRate    int           `key:"voter-rate" help:"requests a second of one who comes with a token or a session, 0 to 100000; 0: no limit"`
	VoterBurst   int           `key:"voter-burst" help:"how many of them may come at once after a pause, 1 to 1000000"`
	TenantRate   int           `key:"tenant-rate" help:"requests a second of one tenant, the default one too, 0 to 100000; 0: no limit"`
	TenantBurst  int           `key:"tenant-burst" help:"how many of them may come at once after a pause, 1 to 1000000"`
	RedisWait    time.Duration `key:"redis-wait" help:"how long the Redis of redis.url may take to tell, 1ms to 1s; then, and without one, each gateway keeps the limits by itself"`
}

func defaultLimits() Limits {
	return Limits{AddressBurst: 100, NetworkBurst: 1000, VoterBurst: 50, TenantBurst: 10_000, RedisWait: 50 * time.Millisecond}
}

// Validate checks the limits.
func (l Limits) Validate() error {
	const rate, burst = 100_000, 1_000_000
	return errors.Join(
		config.Between("address-rate", l.AddressRate, 0, rate),
		config.Between("address-burst", l.AddressBurst, 1, burst),
		config.Between("network-rate", l.NetworkRate, 0, rate),
		config.Between("network-burst", l.NetworkBurst, 1, burst),
		config.Between("voter-rate", l.VoterRate, 0, rate),
		config.Between("voter-burst", l.VoterBurst, 1, burst),
		config.Between("tenant-rate", l.TenantRate, 0, rate),
		config.Between("tenant-burst", l.TenantBurst, 1, burst),
		config.Between("redis-wait", l.RedisWait, time.Millisecond, time.Second),
	)
}

// set reports whether there is any limit.
func (l Limits) set() bool { return l.AddressRate+l.NetworkRate+l.VoterRate+l.TenantRate > 0 }

func (l Limits) config(proxies visit.Proxies) limit.Config {
	return limit.Config{
		Address: limit.Rate{PerSecond: l.AddressRate, Burst: l.AddressBurst},
		Network: limit.Rate{PerSecond: l.NetworkRate, Burst: l.NetworkBurst},
		Voter:   limit.Rate{PerSecond: l.VoterRate, Burst: l.VoterBurst},
		Tenant:  limit.Rate{PerSecond: l.TenantRate, Burst: l.TenantBurst},
		Proxies: proxies, Patience: l.RedisWait,
	}
}
