package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/pflag"

	"github.com/littlevote/littlevote/tools/bench/internal/operation"
	"github.com/littlevote/littlevote/tools/bench/internal/wire"
)

const (
	maxConnections = 10_000
	maxRate        = 1_000_000 // a second
	countsWithin   = 10 * time.Second
)

// settings is the command line.
type settings struct {
	url          string
	connections  int
	rate         float64
	duration     time.Duration
	warmUp       time.Duration
	operations   []operation.Operation
	names        int
	json         bool
	floorOnly    bool
	up           bool
	redisURL     string
	kafkaBrokers []string
	postgresURL  string
	countsWithin time.Duration // after a run; no flag
}

// parse reads the flags. pflag.ErrHelp means that help was asked for and given.
func parse(ctx context.Context, args []string, stderr io.Writer) (settings, error) {
	s := settings{countsWithin: countsWithin}
	var operations []string
	for _, known := range operation.All() {
		operations = append(operations, string(known))
	}
	flags := pflag.NewFlagSet("bench", pflag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are printed once, by the caller
	flags.SortFlags = false
	flags.StringVar(&s.url, "url", "http://127.0.0.1:8080/graphql", "the system's GraphQL endpoint, on this machine")
	flags.IntVar(&s.connections, "connections", 200, "connections that send at once")
	flags.Float64Var(&s.rate, "rate", 0, "requests a second: an open loop, latencies counted from when each request was due; 0: a closed loop")
	flags.DurationVar(&s.duration, "duration", 10*time.Second, "how long each operation is measured, on the floor and on the system")
	flags.DurationVar(&s.warmUp, "warmup", 2*time.Second, "load before each measurement, whose answers are not measured (but its votes verified)")
	flags.StringSliceVar(&operations, "ops", operations, "the operations, in order")
	flags.IntVar(&s.names, "names", 1, "candidates in each vote, 1 to 26")
	flags.BoolVar(&s.json, "json", false, "write the result as JSON instead of a table")
	flags.BoolVar(&s.floorOnly, "floor-only", false, "measure the floor and no system")
	flags.BoolVar(&s.up, "up", false, "build `littlevote`, start the whole system on a free port with --ticket-cap none, stop it at the end")
	flags.StringVar(&s.redisURL, "redis-url", "", "with --up: passed on; without it the system brings its own")
	flags.StringSliceVar(&s.kafkaBrokers, "kafka-brokers", nil, "with --up: passed on; without it the system brings its own")
	flags.StringVar(&s.postgresURL, "postgres-url", "", "verify the counts in this database as well and measure the persister's lag; with --up also passed on")
	if err := flags.Parse(args); errors.Is(err, pflag.ErrHelp) {
		fmt.Fprintf(stderr, "Measures a Little Vote system on this machine against a floor. Flags:\n%s", flags.FlagUsages())
		return s, err
	} else if err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("expected flags only, got %q", flags.Arg(0))
	}
	var err error
	if s.operations, err = operation.Parse(operations); err != nil {
		return s, fmt.Errorf("--ops: %w", err)
	}
	if s.up && flags.Changed("url") {
		return s, errors.New("--up starts a system of its own: leave --url out")
	}
	return s, s.validate(ctx)
}

func (s settings) validate(ctx context.Context) error {
	switch {
	case s.connections < 1 || s.connections > maxConnections:
		return fmt.Errorf("--connections must be 1 to %d", maxConnections)
	case !(s.rate >= 0 && s.rate <= maxRate): // so that NaN is refused
		return fmt.Errorf("--rate must be 0 to %d", maxRate)
	case s.duration <= 0:
		return errors.New("--duration must be positive")
	case s.warmUp < 0:
		return errors.New("--warmup must not be negative")
	case s.names < 1 || s.names > operation.Candidates:
		return fmt.Errorf("--names must be 1 to %d", operation.Candidates)
	case s.floorOnly && (s.up || s.postgresURL != ""):
		return errors.New("--floor-only measures no system: leave --up and --postgres-url out")
	case !s.up && (s.redisURL != "" || len(s.kafkaBrokers) > 0):
		return errors.New("--redis-url and --kafka-brokers are for --up only")
	}
	return s.onThisMachine(ctx)
}

// onThisMachine refuses every address that is not on it: a benchmark of another machine is an attack, or measures a
// network.
func (s settings) onThisMachine(ctx context.Context) error {
	if _, err := wire.ParseTarget(ctx, s.url); err != nil {
		return fmt.Errorf("--url: %w", err)
	}
	if s.redisURL != "" {
		parsed, err := url.Parse(s.redisURL)
		if err != nil {
			return errors.New("--redis-url is not a URL")
		}
		if _, err := wire.Loopback(ctx, parsed.Hostname()); err != nil {
			return fmt.Errorf("--redis-url: %w", err)
		}
	}
	for _, broker := range s.kafkaBrokers {
		host, _, err := net.SplitHostPort(broker)
		if err != nil {
			return fmt.Errorf("--kafka-brokers: %q is not host:port", broker)
		}
		if _, err := wire.Loopback(ctx, host); err != nil {
			return fmt.Errorf("--kafka-brokers: %w", err)
		}
	}
	if s.postgresURL != "" {
		return postgresOnThisMachine(ctx, s.postgresURL)
	}
	return nil
}

func postgresOnThisMachine(ctx context.Context, postgresURL string) error {
	config, err := pgx.ParseConfig(postgresURL)
	if err != nil {
		return errors.New("--postgres-url is not a Postgres URL") // without the error, which may quote the password
	}
	hosts := []string{config.Host}
	for _, fallback := range config.Fallbacks {
		hosts = append(hosts, fallback.Host)
	}
	for _, host := range hosts {
		if strings.HasPrefix(host, "/") { // a socket in the file system
			continue
		}
		if _, err := wire.Loopback(ctx, host); err != nil {
			return fmt.Errorf("--postgres-url: %w", err)
		}
	}
	return nil
}

// hideSecrets blanks the passwords in URLs, so that the command can stand in a report.
func hideSecrets(args []string) []string {
	password := regexp.MustCompile(`(://[^:/@\s]*:)[^@\s]+@`)
	keyword := regexp.MustCompile(`(password=)('[^']*'|[^\s&]+)`)
	hidden := make([]string, len(args))
	for i, arg := range args {
		hidden[i] = keyword.ReplaceAllString(password.ReplaceAllString(arg, "$1[hidden]@"), "$1[hidden]")
	}
	return hidden
}
