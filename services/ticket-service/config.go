package ticketservice

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/redisledger"
)

// Config is the settings of the service.
type Config struct {
	config.Dev
	Ticket      Ticket          `key:"ticket"`
	Ballots     Ballots         `key:"ballots"`
	Admin       config.Admin    `key:"admin"`
	Trace       config.Trace    `key:"trace"`
	Redis       config.Redis    `key:"redis"`
	Postgres    config.Postgres `key:"postgres"`
	Participant Participant     `key:"participant"`
	TLS         config.TLS      `key:"tls"`
}

// Ticket is the group "ticket".
type Ticket struct {
	config.TicketKeys
	Listen            string        `key:"listen" help:"host:port on which the ticket service answers"`
	Interval          time.Duration `key:"interval" help:"how long a ticket of the ballot main is valid, 10ms to 24h; what is minted already keeps its window"`
	Cap               Cap           `key:"cap" help:"how many votes one ticket of the ballot main admits, 1 to 2147483647, or none"`
	Lock              string        `key:"lock" help:"where the producer lock stands: redis; ring (in Redis too, where consistent hashing over the live replicas says whose turn it is); etcd; or none (then every replica mints, to the same effect)"`
	LockTTL           time.Duration `key:"lock-ttl" help:"how long the producer lock outlives its holder, 100ms to 1m (etcd: whole seconds, at least what it grants); below ticket.interval no failover costs a ticket"`
	LockKey           string        `key:"lock-key" help:"name of the producer lock, in Redis or etcd, and the beginning of the names beside it; another one where several systems share a store"`
	LockEtcdEndpoints []string      `key:"lock-etcd-endpoints" help:"URLs of etcd with commas between, for ticket.lock etcd; https:// for TLS"`
	LockEtcd          EtcdTLS       `key:"lock-etcd"`
}

// EtcdTLS is the group "ticket.lock-etcd".
type EtcdTLS struct {
	CertFile string `key:"cert-file" help:"PEM file with the certificate that etcd asks its clients for; empty: none is shown; read again when it changes"`
	KeyFile  string `key:"key-file" help:"PEM file with the private key of the certificate"`
	CAFile   string `key:"ca-file" help:"PEM file with the CA that etcd's certificate must come from; empty: the system's"`
}

func (e EtcdTLS) files() config.TLS {
	return config.TLS{CertFile: e.CertFile, KeyFile: e.KeyFile, CAFile: e.CAFile}
}

// Validate checks that a certificate does not come without its key.
func (e EtcdTLS) Validate() error { return e.files().Validate() }

// Ballots is the group "ballots": the built-in ballots beside main.
type Ballots struct {
	Cast Ballot `key:"cast"`
	Tiny Ballot `key:"tiny"`
}

// Ballot is the settings of one ballot.
type Ballot struct {
	Ticket BallotTicket `key:"ticket"`
}

// BallotTicket is what the tickets of a ballot are like.
type BallotTicket struct {
	Interval time.Duration `key:"interval" help:"how long a ticket of this ballot is valid, 10ms to 24h"`
	Cap      Cap           `key:"cap" help:"how many votes one ticket of this ballot admits, 1 to 2147483647, or none"`
}

// Participant is what this service needs of the group "participant": it takes no part in changes of the epoch, and only
// follows them.
type Participant struct {
	Heartbeat time.Duration `key:"heartbeat" help:"how often Postgres is asked which epoch is on, 10ms to 1m; every 150ms at least"`
}

// Cap is how many votes a ticket admits: a positive number, or redisledger.NoCap, which is written "none".
type Cap int64

// None is no cap.
const None Cap = redisledger.NoCap

// UnmarshalText reads a number or "none".
func (c *Cap) UnmarshalText(text []byte) error {
	if string(text) == "none" {
		*c = None
		return nil
	}
	n, err := strconv.ParseInt(string(text), 10, 32)
	if err != nil || n <= 0 {
		return fmt.Errorf("expected 1 to %d, or none", math.MaxInt32)
	}
	*c = Cap(n)
	return nil
}

// MarshalText writes a number or "none".
func (c Cap) MarshalText() ([]byte, error) {
	if c == None {
		return []byte("none"), nil
	}
	return strconv.AppendInt(nil, int64(c), 10), nil
}

// validate refuses what UnmarshalText never makes.
func (c Cap) validate(key string) error {
	if c != None && (c <= 0 || c > math.MaxInt32) {
		return config.Errorf(key, "expected 1 to %d, or none, got %d", math.MaxInt32, int64(c))
	}
	return nil
}

// The backends of the lock.
const (
	lockRedis = "redis"
	lockRing  = "ring"
	lockEtcd  = "etcd"
	lockNone  = "none"
)

// DefaultConfig is what the published systems had, on this machine.
func DefaultConfig() Config {
	const interval = 2 * time.Second
	return Config{
		Ticket: Ticket{
			Listen: "127.0.0.1:8101", Interval: interval, Cap: 1000,
			Lock: lockRedis, LockTTL: 1500 * time.Millisecond, LockKey: "ticket:producer:lock",
			LockEtcdEndpoints: []string{"http://127.0.0.1:2379"},
		},
		Ballots: Ballots{
			Cast: Ballot{BallotTicket{Interval: interval, Cap: 100}},
			Tiny: Ballot{BallotTicket{Interval: interval, Cap: None}},
		},
		Admin:       config.Admin{Listen: "127.0.0.1:9101"},
		Trace:       config.DefaultTrace(),
		Redis:       config.DefaultRedis(),
		Postgres:    config.DefaultPostgres(),
		Participant: Participant{Heartbeat: config.DefaultParticipant().Heartbeat},
	}
}

// Validate checks the limits.
func (t Ticket) Validate() error {
	errs := []error{
		config.Address("listen", t.Listen),
		validInterval(t.Interval),
		t.Cap.validate("cap"),
		config.OneOf("lock", t.Lock, lockRedis, lockRing, lockEtcd, lockNone),
		config.Between("lock-ttl", t.LockTTL, 100*time.Millisecond, time.Minute),
		config.Required("lock-key", t.LockKey),
	}
	if t.Lock == lockEtcd && len(t.LockEtcdEndpoints) == 0 {
		errs = append(errs, config.Errorf("lock-etcd-endpoints", "expected URLs, since ticket.lock is etcd"))
	}
	insecure := func(url string) bool { return !strings.HasPrefix(url, "https://") }
	if t.LockEtcd != (EtcdTLS{}) && slices.ContainsFunc(t.LockEtcdEndpoints, insecure) {
		errs = append(errs, config.Errorf("lock-etcd-endpoints", "expected https://, since there are files for TLS"))
	}
	return errors.Join(errs...)
}

// Validate checks the limits.
func (t BallotTicket) Validate() error {
	return errors.Join(validInterval(t.Interval), t.Cap.validate("cap"))
}

// Validate checks the limits.
func (p Participant) Validate() error {
	return config.Between("heartbeat", p.Heartbeat, 10*time.Millisecond, time.Minute)
}

func validInterval(d time.Duration) error {
	return config.Between("interval", d, 10*time.Millisecond, 24*time.Hour)
}
