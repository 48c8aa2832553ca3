// Package reach finds the stores that the operator's commands work on.
package reach

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/pgledger"
)

// AddressFile is what `up` writes into its data directory: its name=address lines.
const AddressFile = "addresses"

// ResultKeyFile is where `up` writes the key that certified results are checked with, in its data directory.
const ResultKeyFile = "result.public.pem"

// poolSize is plenty for one person.
const poolSize = 4

// Kind is a store that a command needs beside Postgres.
type Kind int

// The kinds. Redis is optional for every command that takes it.
const (
	Redis Kind = iota
	Kafka
	OptionalKafka
)

// Stores says where the stores are: by flags, or as a running `up` says it.
type Stores struct {
	DataDir     string
	RedisURL    string
	PostgresURL string
	Brokers     []string
	TopicPrefix string
	// Settings are those of Kafka, where more is known than the above.
	Settings *config.Kafka

	kinds []Kind
}

// Flags adds the flags of Postgres and of the other stores that a command needs, and of all its subcommands.
func (s *Stores) Flags(cmd *cobra.Command, kinds ...Kind) {
	s.kinds = kinds
	flags := cmd.PersistentFlags()
	flags.StringVar(&s.DataDir, "data-dir", ".littlevote", "data directory of a running `up`, which says where its stores are")
	flags.StringVar(&s.PostgresURL, "postgres-url", os.Getenv("LITTLEVOTE_POSTGRES_URL"), "postgres://… of the primary; else LITTLEVOTE_POSTGRES_URL, else as --data-dir says")
	if slices.Contains(kinds, Redis) {
		flags.StringVar(&s.RedisURL, "redis-url", os.Getenv("LITTLEVOTE_REDIS_URL"), "redis://…, redis+cluster://… or redis+sentinel://…; else LITTLEVOTE_REDIS_URL, else as --data-dir says")
	}
	if slices.Contains(kinds, Kafka) || slices.Contains(kinds, OptionalKafka) {
		flags.StringSliceVar(&s.Brokers, "kafka-brokers", list(os.Getenv("LITTLEVOTE_KAFKA_BROKERS")), "host:port of some of the brokers; else LITTLEVOTE_KAFKA_BROKERS, else as --data-dir says")
		flags.StringVar(&s.TopicPrefix, "kafka-topic-prefix", os.Getenv("LITTLEVOTE_KAFKA_TOPIC_PREFIX"), "what stands before the names of the topics; else LITTLEVOTE_KAFKA_TOPIC_PREFIX")
	}
}

// Find fills in what the flags leave open.
func (s *Stores) Find() error {
	file, err := os.Open(filepath.Join(s.DataDir, AddressFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil {
		defer file.Close()
		lines := bufio.NewScanner(file)
		for lines.Scan() {
			name, address, _ := strings.Cut(lines.Text(), "=")
			s.fill(name, address)
		}
		if err := lines.Err(); err != nil {
			return err
		}
	}
	err = config.Required("--postgres-url", s.PostgresURL)
	if slices.Contains(s.kinds, Kafka) {
		err = errors.Join(err, config.Required("--kafka-brokers", strings.Join(s.Brokers, ",")))
	}
	return err
}

func (s *Stores) fill(name, address string) {
	switch {
	case name == "postgres" && s.PostgresURL == "":
		s.PostgresURL = address
	case name == "redis" && s.RedisURL == "":
		s.RedisURL = address
	case name == "kafka" && len(s.Brokers) == 0:
		s.Brokers = list(address)
	}
}

// Pool opens Postgres.
func (s *Stores) Pool(ctx context.Context) (*pgxpool.Pool, error) {
	return pgledger.Open(ctx, config.Postgres{URL: s.PostgresURL, PoolSize: poolSize})
}

// KafkaConfig is how to reach Kafka.
func (s *Stores) KafkaConfig() config.Kafka {
	cfg := config.DefaultKafka()
	if s.Settings != nil {
		cfg = *s.Settings
	}
	cfg.Brokers, cfg.TopicPrefix = s.Brokers, s.TopicPrefix
	return cfg
}

// Topics are the names of the topics.
func (s *Stores) Topics() events.Topics { return events.NewTopics(s.TopicPrefix) }

// Client opens Kafka. Its complaints go nowhere: what goes wrong is the command's own error.
func (s *Stores) Client(more ...kgo.Opt) (*kgo.Client, error) {
	return events.NewClient(s.KafkaConfig(), slog.New(slog.DiscardHandler), more...)
}

func list(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}
