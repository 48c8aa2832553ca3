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
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/pgledger"
)

// AddressFile is what `up` writes into its data directory: its name=address lines.
const AddressFile = "addresses"

// ResultKeyFile is where `up` writes the key that certified results are checked with, in its data directory.
const ResultKeyFile = "result.public.pem"

const (
	poolSize     = 4 // plenty for one person
	redisTimeout = 2 * time.Second
)

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

	kinds       []Kind
	flags       *pflag.FlagSet
	environment environment
}

// environment is what variables say, and the file that LITTLEVOTE_CONFIG names: of TLS and of logins, only they do.
type environment struct {
	Redis    config.Redis    `key:"redis"`
	Kafka    config.Kafka    `key:"kafka"`
	Postgres config.Postgres `key:"postgres"`
}

// Flags adds the flags of Postgres and of the other stores that a command needs, and of all its subcommands.
func (s *Stores) Flags(cmd *cobra.Command, kinds ...Kind) {
	s.kinds = kinds
	flags := cmd.PersistentFlags()
	s.flags = flags
	flags.StringVar(&s.DataDir, "data-dir", ".littlevote", "data directory of a running `up`, which says where its stores are")
	flags.StringVar(&s.PostgresURL, "postgres-url", "", "postgres://… of the primary; else LITTLEVOTE_POSTGRES_URL or the file that LITTLEVOTE_POSTGRES_URL_FILE names, else as --data-dir says")
	if slices.Contains(kinds, Redis) {
		flags.StringVar(&s.RedisURL, "redis-url", "", "redis://…, redis+cluster://… or redis+sentinel://…, or with rediss for TLS; else LITTLEVOTE_REDIS_URL or the file that LITTLEVOTE_REDIS_URL_FILE names, else as --data-dir says; files for TLS and the Sentinels' login as the services' variables say")
	}
	if slices.Contains(kinds, Kafka) || slices.Contains(kinds, OptionalKafka) {
		flags.StringSliceVar(&s.Brokers, "kafka-brokers", nil, "host:port of some of the brokers; else LITTLEVOTE_KAFKA_BROKERS, else as --data-dir says; TLS and the login as the services' variables say")
		flags.StringVar(&s.TopicPrefix, "kafka-topic-prefix", "", "what stands before the names of the topics; else LITTLEVOTE_KAFKA_TOPIC_PREFIX")
	}
}

// Find fills in what the flags leave open.
func (s *Stores) Find() error {
	if err := s.look(os.Environ()); err != nil {
		return err
	}
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

// look fills in what variables say. A flag goes before them, an empty one too.
func (s *Stores) look(environ []string) error {
	s.environment = environment{Redis: config.DefaultRedis(), Kafka: config.DefaultKafka(), Postgres: config.DefaultPostgres()}
	e := &s.environment
	e.Redis.URL, e.Kafka.Brokers, e.Postgres.URL = "", nil, ""
	loader, err := config.Bind(pflag.NewFlagSet("", pflag.ContinueOnError), e)
	if err != nil {
		return err
	}
	if err := loader.Load(environ); err != nil {
		return err
	}
	for name, fill := range map[string]func(){
		"postgres-url":       func() { s.PostgresURL = e.Postgres.URL },
		"redis-url":          func() { s.RedisURL = e.Redis.URL },
		"kafka-brokers":      func() { s.Brokers = e.Kafka.Brokers },
		"kafka-topic-prefix": func() { s.TopicPrefix = e.Kafka.TopicPrefix },
	} {
		if s.flags.Lookup(name) != nil && !s.flags.Changed(name) {
			fill()
		}
	}
	return nil
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

// RedisConfig is how to reach Redis.
func (s *Stores) RedisConfig() config.Redis {
	cfg := s.environment.Redis
	cfg.URL, cfg.PoolSize, cfg.Timeout = s.RedisURL, poolSize, redisTimeout
	return cfg
}

// KafkaConfig is how to reach Kafka.
func (s *Stores) KafkaConfig() config.Kafka {
	cfg := s.environment.Kafka
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
