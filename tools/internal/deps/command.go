package deps

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"
)

// defaultDir is where the servers' data is unless --dir says otherwise.
const defaultDir = ".data/deps"

// Command is `littlevote deps`. Addresses go to stdout, progress to stderr.
func Command() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "deps",
		Short: "Run the real servers that Little Vote depends on, on loopback",
		Long: `Run Redis, Apache Kafka, Postgres with a streaming replica, and etcd on loopback, for tests, benchmarks and
development without containers. They outlive the command; "deps down" stops them and keeps their data.`,
		Example: `  The test suites on a Redis Cluster (--redis-sentinel: on the master that Sentinels name):
  eval "$(littlevote deps up --dir .data/cluster --only=redis --redis-cluster --env)"
  go test -p 1 ./libs/redisledger/... ./libs/epoch/... ./services/... ./tools/e2e/...

  The test suites on three Kafka brokers:
  eval "$(littlevote deps up --dir .data/brokers --only=kafka --kafka-cluster --env)"
  go test -p 1 ./libs/events/... ./services/... ./tools/e2e/...

  Postgres whose replica may be promoted without the loss of a commit; the services get both hosts,
  and use the one that takes writes (--postgres-url postgres://user:password@host:port,host:port/database):
  littlevote deps up --only=postgres,postgres-replica --postgres-synchronous`,
		Args: cobra.NoArgs,
	}
	cmd.PersistentFlags().StringVar(&dir, "dir", defaultDir, "where the servers' data is")
	cmd.AddCommand(upCommand(&dir), runCommand(&dir), downCommand(&dir), statusCommand(&dir))
	return cmd
}

func upCommand(dir *string) *cobra.Command {
	var choice choice
	var env bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start what does not run yet, wait until it answers, print name=address lines",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			addresses, err := Up(cmd.Context(), *dir, choice.options(cmd))
			if err != nil {
				return err
			}
			return printAddresses(cmd, addresses, env)
		},
	}
	choice.flags(cmd)
	cmd.Flags().BoolVar(&env, "env", false, "print the settings of the test suites for a shell instead")
	return cmd
}

func runCommand(dir *string) *cobra.Command {
	var choice choice
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Start the servers, keep watch over them, and stop them when it is told to end",
		Long: `Start the servers and stay in the foreground. While all of them answer, their addresses are in two files of the directory:
littlevote.yaml, settings of the services (LITTLEVOTE_CONFIG), and addresses, for --data-dir of the other commands. It
ends with the servers that it has in its directory: when it is told to, or with an error when one of them has ended.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return Run(cmd.Context(), *dir, choice.options(cmd))
		},
	}
	choice.flags(cmd)
	return cmd
}

// choice is what the command line says of the servers.
type choice struct {
	opts                       Options
	cluster, sentinel, brokers bool
}

func (c *choice) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar(&c.opts.Only, "only", nil, fmt.Sprintf("which servers to start, of %v", known()))
	flags.BoolVar(&c.cluster, "redis-cluster", false, "a Redis Cluster of three masters and three replicas instead of one Redis")
	flags.BoolVar(&c.sentinel, "redis-sentinel", false, "a Redis with a replica and three Sentinels instead of one Redis")
	flags.BoolVar(&c.brokers, "kafka-cluster", false, "three Kafka brokers instead of one")
	flags.BoolVar(&c.opts.Synchronous, "postgres-synchronous", false, "a COMMIT waits for Postgres's replica, so that a promotion loses nothing")
	flags.BoolVar(&c.opts.Install, "install", false, "apt-get install what is missing (Debian, as root)")
	flags.StringVar(&c.opts.CacheDir, "cache-dir", "", "where Kafka's jars are kept (default <dir>/kafka)")
	cmd.MarkFlagsMutuallyExclusive("redis-cluster", "redis-sentinel")
}

func (c *choice) options(cmd *cobra.Command) Options {
	opts := c.opts
	opts.Progress = cmd.ErrOrStderr()
	if c.cluster {
		opts.Only = instead(opts.Only, Redis, RedisCluster)
	}
	if c.sentinel {
		opts.Only = instead(opts.Only, Redis, RedisSentinel)
	}
	if c.brokers {
		opts.Only = instead(opts.Only, Kafka, KafkaCluster)
	}
	return opts
}

// instead puts another kind of a server in the place of the single one.
func instead(only []string, single, kind string) []string {
	if len(only) == 0 {
		only = Names()
	}
	only = slices.DeleteFunc(slices.Clone(only), func(name string) bool { return name == single })
	return append(only, kind)
}

func downCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Stop the servers and keep their data",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return Down(cmd.Context(), *dir, cmd.ErrOrStderr())
		},
	}
}

func statusCommand(dir *string) *cobra.Command {
	var env bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Print the name=address lines of the servers that run, and say which do not",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := Status(*dir)
			if err != nil {
				return err
			}
			var running Addresses
			for _, address := range all {
				if address.PID == 0 {
					cmd.PrintErrf("%s does not run\n", address.Name)
					continue
				}
				running = append(running, address)
			}
			return printAddresses(cmd, running, env)
		},
	}
	cmd.Flags().BoolVar(&env, "env", false, "print the settings of the test suites for a shell instead")
	return cmd
}

func printAddresses(cmd *cobra.Command, addresses Addresses, env bool) error {
	text := addresses.String()
	if env {
		text = addresses.Env()
	}
	_, err := fmt.Fprint(cmd.OutOrStdout(), text)
	return err
}
