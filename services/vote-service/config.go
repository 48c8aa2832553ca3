package voteservice

import (
	"errors"
	"time"

	"github.com/littlevote/littlevote/libs/config"
)

// Config is everything that can be set.
type Config struct {
	config.Dev
	Vote        Vote               `key:"vote"`
	Ticket      config.TicketKeys  `key:"ticket"`
	Ballot      Ballot             `key:"ballot"`
	Admin       config.Admin       `key:"admin"`
	Trace       config.Trace       `key:"trace"`
	Redis       config.Redis       `key:"redis"`
	Kafka       config.Kafka       `key:"kafka"`
	Postgres    config.Postgres    `key:"postgres"`
	Participant config.Participant `key:"participant"`
	Reconcile   Reconcile          `key:"reconcile"`
	TLS         config.TLS         `key:"tls"`
}

// Ballot is the group "ballot".
type Ballot struct {
	SignKeyFile string `key:"sign-key-file" help:"PEM file with the Ed25519 private key (PKCS#8) that certified results are signed with; may be missing in development mode only"`
}

// Reconcile is the group "reconcile".
type Reconcile struct {
	Interval time.Duration `key:"interval" help:"how often one of the vote-services compares the counts of Redis and of Postgres with the ledger, 100ms to 1h, or 0 for never"`
}

// Validate checks the limits.
func (r Reconcile) Validate() error {
	if r.Interval == 0 {
		return nil
	}
	return config.Between("interval", r.Interval, 100*time.Millisecond, time.Hour)
}

// Vote is the group "vote".
type Vote struct {
	Listen         string        `key:"listen" help:"host:port of the RPC service"`
	Workers        int           `key:"workers" help:"batches of one ballot that are on their way at once, 1 to 64: more of them are smaller, and cost more than they save unless Kafka is far away"`
	BatchVotes     int           `key:"batch-votes" help:"most votes in a batch, 1 to 1000: the script that admits one holds Redis for everybody"`
	BatchBytes     int           `key:"batch-bytes" help:"about how many bytes a batch may have, 4096 to 262144"`
	Queue          int           `key:"queue" help:"votes of one ballot that may wait; more are refused as OVERLOADED, 1 to 1000000"`
	Outbox         int           `key:"outbox" help:"batches of one ballot that may be admitted and not yet settled, over all instances, 1 to 100000"`
	OutboxLease    time.Duration `key:"outbox-lease" help:"how long a batch is left to the instance that admitted it, 1s to 1m; longer than vote.timeout"`
	ProduceTimeout time.Duration `key:"produce-timeout" help:"how long Kafka may take before a batch goes to Postgres, 10ms to 30s"`
	Timeout        time.Duration `key:"timeout" help:"how long a vote off the common path may take before it is OUTCOME_UNKNOWN, 100ms to 30s"`
}

// DefaultConfig is one instance on this machine.
func DefaultConfig() Config {
	return Config{
		Vote: Vote{
			Listen:         "127.0.0.1:8102",
			Workers:        1,
			BatchVotes:     1000,
			BatchBytes:     256 << 10,
			Queue:          20_000,
			Outbox:         1000,
			OutboxLease:    10 * time.Second,
			ProduceTimeout: time.Second,
			Timeout:        4 * time.Second,
		},
		Admin:       config.Admin{Listen: "127.0.0.1:9102"},
		Trace:       config.DefaultTrace(),
		Redis:       config.DefaultRedis(),
		Kafka:       config.DefaultKafka(),
		Postgres:    config.DefaultPostgres(),
		Participant: config.DefaultParticipant(),
		Reconcile:   Reconcile{Interval: 10 * time.Second},
	}
}

// Validate checks the limits.
func (v Vote) Validate() error {
	return errors.Join(
		config.Address("listen", v.Listen),
		config.Between("workers", v.Workers, 1, 64),
		config.Between("batch-votes", v.BatchVotes, 1, 1000),
		config.Between("batch-bytes", v.BatchBytes, 4096, 256<<10),
		config.Between("queue", v.Queue, 1, 1_000_000),
		config.Between("outbox", v.Outbox, 1, 100_000),
		config.Between("produce-timeout", v.ProduceTimeout, 10*time.Millisecond, 30*time.Second),
		config.Between("timeout", v.Timeout, 100*time.Millisecond, 30*time.Second),
		config.Between("outbox-lease", v.OutboxLease, max(time.Second, v.Timeout), time.Minute),
	)
}
