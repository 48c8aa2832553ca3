package deps

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	// watchPeriod is the pause between two looks whether every server still runs.
	watchPeriod = time.Second
	// stopTimeout bounds the end of all servers: what started Run may lose its patience after half a minute.
	stopTimeout = 25 * time.Second
)

// What Run leaves in its directory while every server answers.
const (
	// settingsFile is where the servers are, as settings of the services: for LITTLEVOTE_CONFIG.
	settingsFile = "littlevote.yaml"
	// addressFile is the same as name=address lines, for the --data-dir of the operator's commands. It is written last.
	addressFile = "addresses"
)

// Run starts the servers like Up, keeps watch over them until ctx ends, and stops them. It fails when one of them ends by
// itself. In dir it leaves littlevote.yaml and addresses for as long as all of them answer.
func Run(ctx context.Context, dir string, opts Options) (err error) {
	if err := forget(dir); err != nil {
		return err
	}
	defer func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		err = errors.Join(err, forget(dir), Down(stopping, dir, opts.Progress))
	}()
	addresses, err := Up(ctx, dir, opts)
	if ctx.Err() != nil {
		return nil // Told to stop before all was there: that is no failure.
	}
	if err != nil {
		return err
	}
	if err := announce(dir, addresses); err != nil {
		return err
	}
	return watch(ctx, dir)
}

func forget(dir string) error {
	for _, name := range []string{addressFile, settingsFile} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// announce writes where the servers are. There is a password in it.
func announce(dir string, addresses Addresses) error {
	err := os.WriteFile(filepath.Join(dir, settingsFile), []byte(addresses.Settings()), 0o600)
	if err != nil {
		return err
	}
	aside := filepath.Join(dir, addressFile+".new")
	if err := os.WriteFile(aside, []byte(addresses.String()), 0o600); err != nil {
		return err
	}
	return os.Rename(aside, filepath.Join(dir, addressFile))
}

// watch returns when ctx ends, or with an error when a server has ended.
func watch(ctx context.Context, dir string) error {
	s, err := openSite(dir, nil)
	if err != nil {
		return err
	}
	running := map[string]bool{}
	ticker := time.NewTicker(watchPeriod)
	defer ticker.Stop()
	for {
		for _, name := range known() {
			for _, member := range members(name) {
				lives := s.state.process(member) != nil
				if running[member] && !lives {
					return fmt.Errorf("%s has ended\n%s", member, s.logTail(member))
				}
				running[member] = lives
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Settings are the addresses as a file of settings for the services.
func (a Addresses) Settings() string {
	at := map[string]string{}
	for _, address := range a {
		at[address.Name] = address.Value
	}
	var b strings.Builder
	line := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s: %q\n", key, value)
		}
	}
	line("redis.url", cmp.Or(at[RedisCluster], at[RedisSentinel], at[Redis]))
	if at[RedisCluster] != "" || at[RedisSentinel] != "" {
		b.WriteString("redis.replicated: true\n")
	}
	line("kafka.brokers", cmp.Or(at[KafkaCluster], at[Kafka]))
	if at[KafkaCluster] != "" {
		fmt.Fprintf(&b, "kafka.replication: %d\n", clusterBrokers)
	}
	line("postgres.url", at[Postgres])
	line("postgres.replica-url", at[PostgresReplica])
	if at[Etcd] != "" {
		line("ticket.lock-etcd-endpoints", "http://"+at[Etcd])
	}
	return b.String()
}
