package config

import (
	"errors"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Log is the group "log".
type Log struct {
	Level slog.Level `key:"level" help:"least level that is logged: DEBUG, INFO, WARN or ERROR"`
}

// Dev is the top-level key "dev"; embed it.
type Dev struct {
	Dev bool `key:"dev" help:"development mode: without ticket.key-file tickets are signed with a key that everybody knows, instead of a refusal to start"`
}

// Admin is the group "admin".
type Admin struct {
	Listen string `key:"listen" help:"host:port of health, metrics and pprof; keep it away from the outside"`
}

// Validate checks the limits.
func (a Admin) Validate() error { return Address("listen", a.Listen) }

// Trace is the group "trace".
type Trace struct {
	Endpoint string  `key:"endpoint" help:"collector that takes traces by OTLP over gRPC: http://host:4317, or https:// for TLS; empty: no traces"`
	Ratio    float64 `key:"ratio" help:"how many of the requests that nobody else has decided on are traced, 0 to 1; whatever follows from a traced request is traced too"`
	CAFile   string  `key:"ca-file" help:"PEM file with the CA that the collector's certificate must come from; empty: one of the system's; read again when it changes, for connections made from then on"`
	CertFile string  `key:"cert-file" help:"PEM file with a certificate chain to show to the collector; empty: none; read again when it changes"`
	KeyFile  string  `key:"key-file" help:"PEM file with the private key of trace.cert-file"`
}

// DefaultTrace is one request in a hundred, once there is a collector.
func DefaultTrace() Trace { return Trace{Ratio: 0.01} }

// Validate checks the limits.
func (t Trace) Validate() error {
	err := errors.Join(hasScheme("endpoint", t.Endpoint, "http", "https"), t.validDoor())
	if !(t.Ratio >= 0 && t.Ratio <= 1) { // not a number is neither
		err = errors.Join(err, Errorf("ratio", "expected a number from 0 to 1"))
	}
	return err
}

// Redis is the group "redis".
type Redis struct {
	URL        string        `key:"url" help:"redis://user:password@host:port/db; a Redis Cluster: redis+cluster://user:password@host:port,host:port; Sentinels: redis+sentinel://user:password@host:port,host:port/master-name; with TLS, to the Sentinels too: rediss://, rediss+cluster:// and rediss+sentinel://"`
	Replicated bool          `key:"replicated" help:"this Redis has replicas that may be promoted: a change of epoch then waits for every participant's stop or lease"`
	PoolSize   int           `key:"pool-size" help:"most connections of this process, 1 to 100000"`
	Timeout    time.Duration `key:"timeout" help:"longest wait for one answer, and for a connection, 10ms to 1m"`

	CAFile   string `key:"ca-file" help:"PEM file with the CA that Redis' certificate, and the Sentinels', must come from; empty: one of the system's; read again when it changes, for connections made from then on"`
	CertFile string `key:"cert-file" help:"PEM file with a certificate chain to show to Redis and the Sentinels; empty: none; read again when it changes"`
	KeyFile  string `key:"key-file" help:"PEM file with the private key of redis.cert-file"`

	SentinelUser     string `key:"sentinel-user" help:"name to log in with to the Sentinels themselves, which have users of their own; empty: the default user"`
	SentinelPassword string `key:"sentinel-password" secret:"true" help:"password of the Sentinels themselves; empty: none"`
}

// DefaultRedis is a Redis without replicas on this machine.
func DefaultRedis() Redis {
	return Redis{URL: "redis://127.0.0.1:6379/0", PoolSize: 3000, Timeout: time.Second}
}

// Validate checks the limits. An empty URL passes: whoever needs one asks with Required, and the all-in-one brings its own.
func (r Redis) Validate() error {
	return errors.Join(
		hasScheme("url", r.URL, "redis", "rediss", "unix", "redis+cluster", "redis+sentinel", "rediss+cluster", "rediss+sentinel"),
		r.validDoor(),
		Between("pool-size", r.PoolSize, 1, 100_000),
		Between("timeout", r.Timeout, 10*time.Millisecond, time.Minute),
	)
}

// Kafka is the group "kafka".
type Kafka struct {
	Brokers     []string      `key:"brokers" help:"host:port of some of the brokers, with commas between"`
	Partitions  int           `key:"partitions" help:"partitions of the vote topic when it is made, 1 to 1000"`
	Replication int           `key:"replication" help:"replicas of every topic when it is made, 1 to 15; below 3 the loss of a broker may lose votes"`
	TopicPrefix string        `key:"topic-prefix" help:"stands before the names of the topics, so that several systems may share a cluster; empty or up to 64 of a-z 0-9 . _ -"`
	Retention   time.Duration `key:"retention" help:"how long the vote topic keeps records, 1h to 8760h; longer than any outage of Postgres"`

	TLS      bool   `key:"tls" help:"speak TLS with the brokers; their certificates must be for the names that they advertise"`
	CAFile   string `key:"ca-file" help:"PEM file with the CA that the brokers' certificates must come from; empty: one of the system's; read again when it changes, for connections made from then on"`
	CertFile string `key:"cert-file" help:"PEM file with a certificate chain to show to the brokers; empty: none; read again when it changes"`
	KeyFile  string `key:"key-file" help:"PEM file with the private key of kafka.cert-file"`
	SASL     string `key:"sasl" help:"how to log in: scram-sha-512, scram-sha-256, plain (with kafka.tls only) or none"`
	User     string `key:"user" help:"name to log in with, where kafka.sasl is not none"`
	Password string `key:"password" secret:"true" help:"password to log in with, where kafka.sasl is not none"`
}

var topicPrefix = regexp.MustCompile(`^[a-z0-9._-]{0,64}$`)

// DefaultKafka is one broker on this machine.
func DefaultKafka() Kafka {
	return Kafka{Brokers: []string{"127.0.0.1:9092"}, Partitions: 8, Replication: 1, Retention: 24 * time.Hour, SASL: SASLNone}
}

// Validate checks the limits. No brokers pass, as with Redis.
func (k Kafka) Validate() error {
	errs := []error{
		Between("partitions", k.Partitions, 1, 1000),
		Between("replication", k.Replication, 1, 15),
		Between("retention", k.Retention, time.Hour, 365*24*time.Hour),
		k.validDoor(),
	}
	if !topicPrefix.MatchString(k.TopicPrefix) {
		errs = append(errs, Errorf("topic-prefix", "expected nothing, or up to 64 of a-z 0-9 . _ -"))
	}
	for _, broker := range k.Brokers {
		errs = append(errs, Address("brokers", broker))
	}
	return errors.Join(errs...)
}

// Postgres is the group "postgres".
type Postgres struct {
	URL        string `key:"url" help:"postgres://user:password@host:port/database of the primary, or with several host:port and commas between, of which the one that takes writes is used; with ?sslmode=verify-full&sslrootcert=/file the server must show a certificate of that CA, sslcert and sslkey name one to show; the password may be kept in a file with ?passfile="`
	ReplicaURL string `key:"replica-url" help:"the same for a replica that answers reads while Redis is away; empty for none"`
	PoolSize   int    `key:"pool-size" help:"most connections of this process to each server, 1 to 1000"`
}

// DefaultPostgres is a server on this machine.
func DefaultPostgres() Postgres {
	return Postgres{URL: "postgres://postgres@127.0.0.1:5432/littlevote?sslmode=disable", PoolSize: 20}
}

// Validate checks the limits. An empty URL passes, as with Redis.
func (p Postgres) Validate() error {
	return errors.Join(
		isPostgres("url", p.URL),
		isPostgres("replica-url", p.ReplicaURL),
		Between("pool-size", p.PoolSize, 1, 1000),
	)
}

// Participant is the group "participant": how a process takes part in the barrier between two epochs.
type Participant struct {
	Lease     time.Duration `key:"lease" help:"how long this process may go on without Postgres, and how long a change of epoch waits for it if it died, 1s to 1h"`
	Heartbeat time.Duration `key:"heartbeat" help:"how often the lease is renewed, at least 10ms and at most a third of the lease"`
}

// DefaultParticipant lets votes go on for a minute without Postgres.
func DefaultParticipant() Participant {
	return Participant{Lease: time.Minute, Heartbeat: 500 * time.Millisecond}
}

// Validate checks the limits: with fewer than three beats a lease, one lost beat would end it.
func (p Participant) Validate() error {
	return errors.Join(
		Between("lease", p.Lease, time.Second, time.Hour),
		Between("heartbeat", p.Heartbeat, 10*time.Millisecond, p.Lease/3),
	)
}

// TLS is the group "tls". Without any file everything is plaintext. A server needs the certificate and its key; with the CA
// as well it asks its clients for certificates of that CA, and lets each kind of process call only what that kind has to. A
// client trusts the CA, or the system's if only a certificate is given, and shows the certificate if there is one.
type TLS struct {
	CertFile string `key:"cert-file" help:"PEM file with the certificate chain of this process, for its port and for its calls; the URI in it, spiffe://littlevote/KIND with KIND one of gateway, ticket-service, vote-service, query-service, persister, blog-service and operator, says who calls; read again when it changes, so that certificates are renewed without a restart"`
	KeyFile  string `key:"key-file" help:"PEM file with the private key of the certificate; both are exchanged together, as they must fit"`
	CAFile   string `key:"ca-file" help:"PEM file with the CA, or several while one follows the other, that the other side's certificate must come from; a server with it asks each client for one, and lets each kind of process call only what it has to; without it nobody is asked who calls; read again when it changes, and what was connected by then connects anew"`
}

// Validate checks that a certificate does not come without its key.
func (t TLS) Validate() error { return pairOfFiles(t.CertFile, t.KeyFile) }

// TicketKeys is part of the group "ticket".
type TicketKeys struct {
	KeyFile string `key:"key-file" help:"file with the secrets that tickets are signed with, one or two lines of hex or base64 of 32 bytes or more: the first signs, both are believed; read again when it changes; to exchange the key while votes go on, (1) write the new one as second into the file of every gateway, ticket-service and vote-service, (2) when all have read it (a second after the file is there) write the new one first and the old one second, (3) when the last ticket of the old key has ended (ticket.interval and a minute) leave the old one out; may be missing in development mode only"`
}

// hasScheme is an error unless value is empty or a URL of one of the schemes. It does not repeat the value: there may be a
// password in it, and in one that does not parse nobody knows where.
func hasScheme(key, value string, schemes ...string) error {
	if value == "" {
		return nil
	}
	parsed, err := url.Parse(value)
	if err != nil || !slices.Contains(schemes, parsed.Scheme) {
		return Errorf(key, "expected a URL that begins with %s://", strings.Join(schemes, ":// or "))
	}
	return nil
}

var postgresURL = regexp.MustCompile(`^postgres(ql)?://\S*$`)

// isPostgres is an error unless value is empty or looks like a URL of Postgres. Package url does not read several hosts.
func isPostgres(key, value string) error {
	if value == "" || postgresURL.MatchString(value) {
		return nil
	}
	return Errorf(key, "expected a URL that begins with postgres:// or postgresql://, without spaces")
}
