package deps

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/littlevote/littlevote/libs/embedded/filelock"
)

// readyTimeout bounds how long one server may take until it answers.
const readyTimeout = 90 * time.Second

// The servers' names.
const (
	Redis           = "redis"
	Kafka           = "kafka"
	Postgres        = "postgres"
	PostgresReplica = "postgres-replica"
	Etcd            = "etcd"
)

// Names are the names of the servers that Up starts unless it is told which, in the order in which addresses are listed.
func Names() []string { return []string{Redis, Kafka, Postgres, PostgresReplica, Etcd} }

// known are the names that Up takes: those, and the other kinds of Redis and Kafka, each of several servers.
func known() []string {
	return []string{Redis, RedisCluster, RedisSentinel, Kafka, KafkaCluster, Postgres, PostgresReplica, Etcd}
}

// members are the servers behind a name that Up takes.
func members(name string) []string {
	switch name {
	case RedisCluster:
		return clusterNodes()
	case RedisSentinel:
		return append(sentinelData(), sentinels()...)
	case KafkaCluster:
		return kafkaBrokers()
	default:
		return []string{name}
	}
}

// Options say what Up starts and how.
type Options struct {
	Only     []string // which servers, of known; those of Names if empty. A replica brings its primary along
	Install  bool     // apt-get install what is missing, on Debian as root
	CacheDir string   // where Kafka's jars are kept; <dir>/kafka if empty
	// KafkaProxy is where a proxy of the caller's will stand before Kafka; who comes in through it stays on it. It forwards
	// to BehindProxy. None if empty.
	KafkaProxy string
	// Synchronous makes the primary of a replica answer a COMMIT only when the replica has it on its disk too: then a
	// promotion loses nothing, and without its replica the primary commits nothing.
	Synchronous bool
	Progress    io.Writer // told in words what happens; nothing is told if nil
}

// site is one data directory, locked, at work.
type site struct {
	dir        string
	cacheDir   string
	kafkaProxy string
	state      *state
	progress   io.Writer
}

// Up starts those servers that are not yet running, waits until each answers, and returns the addresses of those asked
// for. When it fails, what it has started goes on running; Up again or Down deals with that.
func Up(ctx context.Context, dir string, opts Options) (Addresses, error) {
	names, err := selected(opts.Only)
	if err != nil {
		return nil, err
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	lock, err := filelock.Acquire(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("another command is at work there: %w", err)
	}
	addresses, err := up(ctx, dir, names, opts)
	return addresses, errors.Join(err, lock.Release())
}

func up(ctx context.Context, dir string, names []string, opts Options) (Addresses, error) {
	s, err := openSite(dir, opts.Progress)
	if err != nil {
		return nil, err
	}
	s.cacheDir, s.kafkaProxy = opts.CacheDir, opts.KafkaProxy
	if s.cacheDir == "" {
		s.cacheDir = filepath.Join(dir, Kafka)
	}
	if err := s.needPrograms(ctx, names, opts.Install); err != nil {
		return nil, err
	}
	if err := s.startAll(ctx, names); err != nil {
		return nil, err
	}
	if slices.Contains(names, PostgresReplica) {
		if err := s.setSynchronous(ctx, opts.Synchronous); err != nil {
			return nil, fmt.Errorf("%s: %w", Postgres, err)
		}
	}
	return s.addresses(names)
}

// startAll starts the servers side by side; only the replica waits, for its primary.
func (s *site) startAll(ctx context.Context, names []string) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, name := range names {
		if name == PostgresReplica {
			continue
		}
		group.Go(func() error {
			err := s.start(ctx, name)
			if err == nil && name == Postgres && slices.Contains(names, PostgresReplica) {
				err = s.start(ctx, PostgresReplica)
			}
			return err
		})
	}
	return group.Wait()
}

func openSite(dir string, progress io.Writer) (*site, error) {
	state, err := loadState(filepath.Join(dir, "state.json"))
	if err != nil {
		return nil, err
	}
	if progress == nil {
		progress = io.Discard
	}
	return &site{dir: dir, state: state, progress: progress}, nil
}

// Down stops every server that runs, each by the process id that Up wrote down, and waits until it is gone. The data
// and the ports stay. It may be called when nothing runs, or when nothing ever did.
func Down(ctx context.Context, dir string, progress io.Writer) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	lock, err := filelock.Acquire(filepath.Join(dir, "lock"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("another command is at work there: %w", err)
	}
	s, err := openSite(dir, progress)
	if err == nil {
		err = s.stopAll(ctx)
	}
	return errors.Join(err, lock.Release())
}

func (s *site) stopAll(ctx context.Context) error {
	var group errgroup.Group // Without a shared context: one that can't be stopped must not save the others.
	for _, name := range known() {
		for _, member := range members(name) {
			group.Go(func() error { return s.stop(ctx, member) })
		}
	}
	return group.Wait()
}

// selected checks names and puts them in order.
func selected(only []string) ([]string, error) {
	for _, name := range only {
		if !slices.Contains(known(), name) {
			return nil, fmt.Errorf("no server is called %q; there are %v", name, known())
		}
	}
	if len(only) == 0 {
		only = Names()
	}
	var names []string
	for _, name := range known() {
		needed := slices.Contains(only, name)
		if name == Postgres && slices.Contains(only, PostgresReplica) {
			needed = true
		}
		if needed {
			names = append(names, name)
		}
	}
	return names, nil
}

func (s *site) say(format string, args ...any) {
	// Nobody depends on progress being readable.
	_, _ = fmt.Fprintf(s.progress, format+"\n", args...)
}
