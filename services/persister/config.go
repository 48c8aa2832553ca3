package persister

import (
	"errors"
	"time"

	"github.com/littlevote/littlevote/libs/config"
)

// Config is everything that can be set.
type Config struct {
	Persister   Persister          `key:"persister"`
	Admin       config.Admin       `key:"admin"`
	Trace       config.Trace       `key:"trace"`
	Kafka       config.Kafka       `key:"kafka"`
	Postgres    config.Postgres    `key:"postgres"`
	Participant config.Participant `key:"participant"`
	TLS         config.TLS         `key:"tls"`
}

// Persister is the group "persister".
type Persister struct {
	Listen             string        `key:"listen" help:"host:port of the persister's health service and probes"`
	Group              string        `key:"group" help:"name of the consumer group, after kafka.topic-prefix; another one for another database"`
	Instance           string        `key:"instance" help:"name of this replica that outlives its process, such as a pod's in a StatefulSet: after a crash it has its partitions back as soon as it is back, instead of after persister.session-timeout; two processes must not share one; empty for none"`
	Migrate            bool          `key:"migrate" help:"bring the tables to this version at the start"`
	BatchRecords       int           `key:"batch-records" help:"most Kafka records in a transaction, 1 to 100000"`
	BatchVotes         int           `key:"batch-votes" help:"most votes in a transaction, 1000 to 1000000; the tallies are locked while it commits"`
	BufferBytes        int           `key:"buffer-bytes" help:"most bytes that wait for the transaction before them, 1048576 to 1073741824; Kafka's fetches have the same bound"`
	TransactionTimeout time.Duration `key:"transaction-timeout" help:"how long a transaction, or a question to Kafka, may take before it is tried again, 1s to 5m"`
	SessionTimeout     time.Duration `key:"session-timeout" help:"how long a persister that died keeps its partitions, 1s to 5m; Kafka's brokers allow 6s or more by default"`
}

// DefaultConfig is one instance on this machine.
func DefaultConfig() Config {
	return Config{
		Persister: Persister{
			Listen:             "127.0.0.1:8104",
			Group:              "vote-persister",
			Migrate:            true,
			BatchRecords:       5000,
			BatchVotes:         20_000,
			BufferBytes:        8 << 20,
			TransactionTimeout: 10 * time.Second,
			SessionTimeout:     6 * time.Second,
		},
		Admin:       config.Admin{Listen: "127.0.0.1:9104"},
		Trace:       config.DefaultTrace(),
		Kafka:       config.DefaultKafka(),
		Postgres:    config.DefaultPostgres(),
		Participant: config.DefaultParticipant(),
	}
}

// Validate checks the limits.
func (p Persister) Validate() error {
	return errors.Join(
		config.Address("listen", p.Listen),
		config.Required("group", p.Group),
		config.Between("batch-records", p.BatchRecords, 1, 100_000),
		config.Between("batch-votes", p.BatchVotes, 1000, 1_000_000),
		config.Between("buffer-bytes", p.BufferBytes, 1<<20, 1<<30),
		config.Between("transaction-timeout", p.TransactionTimeout, time.Second, 5*time.Minute),
		config.Between("session-timeout", p.SessionTimeout, time.Second, 5*time.Minute),
	)
}
