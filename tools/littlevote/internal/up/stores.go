package up

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/littlevote/littlevote/libs/embedded"
	"github.com/littlevote/littlevote/libs/embedded/filelock"
	"github.com/littlevote/littlevote/tools/littlevote/internal/token"
)

// stores are Redis, Kafka and Postgres, given or embedded.
type stores struct {
	redis    string
	kafka    []string
	postgres string
	embedded []string // names of those that are ours
	keyFile  string
	signKey  string         // file with the key of the results
	tokens   string         // file with the public key of the tokens that `littlevote token` makes
	closers  []func() error // in the order of their start
}

// openStores takes the data directory and starts whatever is not given.
func openStores(ctx context.Context, o own, log *slog.Logger) (*stores, error) {
	s := &stores{redis: o.Redis.URL, kafka: o.Kafka.Brokers, postgres: o.Postgres.URL}
	if err := s.open(ctx, o.DataDir, log); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *stores) open(ctx context.Context, dir string, log *slog.Logger) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("data-dir: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // the server's own user must get through to its folder
		return fmt.Errorf("data-dir: %w", err)
	}
	lock, err := filelock.Acquire(filepath.Join(dir, "lock"))
	if err != nil {
		return fmt.Errorf("data-dir: %w", err)
	}
	s.closers = append(s.closers, lock.Release)
	if s.keyFile, err = ensureKey(filepath.Join(dir, "ticket.keys")); err != nil {
		return err
	}
	if s.signKey, err = ensureSignKey(dir); err != nil {
		return err
	}
	if s.tokens, err = token.Ensure(dir); err != nil {
		return err
	}
	return s.start(ctx, dir, log)
}

// start starts the embedded stores, all at the same time.
func (s *stores) start(ctx context.Context, dir string, log *slog.Logger) error {
	var (
		group    errgroup.Group
		redis    *embedded.RedisServer
		kafka    *embedded.KafkaServer
		postgres *embedded.PostgresServer
	)
	if s.redis == "" {
		group.Go(func() (err error) { redis, err = embedded.Redis(ctx, embedded.Log(log)); return err })
	}
	if len(s.kafka) == 0 {
		group.Go(func() (err error) {
			kafka, err = embedded.Kafka(filepath.Join(dir, "kafka"), embedded.Log(log))
			return err
		})
	}
	if s.postgres == "" {
		group.Go(func() (err error) {
			postgres, err = embedded.Postgres(ctx, filepath.Join(dir, "postgres"), embedded.Log(log))
			return err
		})
	}
	err := group.Wait()
	if redis != nil {
		s.redis = redis.URL()
		s.own("redis", redis.Close)
	}
	if kafka != nil {
		s.kafka = kafka.Brokers()
		s.own("kafka", kafka.Close)
	}
	if postgres != nil {
		s.postgres = postgres.URL()
		s.own("postgres", postgres.Close)
	}
	return err
}

func (s *stores) own(name string, closer func() error) {
	s.embedded = append(s.embedded, name)
	s.closers = append(s.closers, closer)
}

// close stops what was started, last first.
func (s *stores) close() error {
	var errs []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i]())
	}
	return errors.Join(errs...)
}

// ensureKey makes the file with the secret of the tickets at the first start.
func ensureKey(file string) (string, error) {
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		return file, err
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	text := "# The secret that tickets are signed with. Keep it.\n" + hex.EncodeToString(secret) + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("ticket key: %w", err)
	}
	return file, nil
}

// addresses are the stores' lines on stdout; a password that was given is hidden, one of our own is needed to connect.
func (s *stores) addresses(o own) []string {
	shown := func(given, url string) string {
		if given != "" {
			return redact(url)
		}
		return url
	}
	return []string{
		"redis=" + shown(o.Redis.URL, s.redis),
		"kafka=" + strings.Join(s.kafka, ","),
		"postgres=" + shown(o.Postgres.URL, s.postgres),
	}
}

func redact(text string) string {
	parsed, err := url.Parse(text)
	if err != nil {
		return "(hidden)"
	}
	if q := parsed.Query(); q.Has("password") {
		q.Set("password", "xxxxx")
		parsed.RawQuery = q.Encode()
	}
	return parsed.Redacted()
}
