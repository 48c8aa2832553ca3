package rows

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/tools/internal/deps"
	"github.com/littlevote/littlevote/tools/internal/system"
)

// replicated says that a Redis has replicas, to those who have to know.
func replicated() map[system.Kind][]string {
	return map[system.Kind][]string{system.Vote: {"--redis-replicated"}, system.Query: {"--redis-replicated"}}
}

// topologyRows are faults of stores that are several servers.
func topologyRows() []Row {
	cluster := []string{"--kafka-replication=3"}
	return []Row{
		{
			Name: "F13", Kind: Kill, Title: "two of three brokers die", Silence: 2 * degraded,
			Sees:    "success, by way of Postgres: one broker alone acknowledges nothing",
			Instead: map[string]string{deps.Kafka: deps.KafkaCluster},
			Flags:   map[system.Kind][]string{system.Vote: cluster, system.Persister: cluster},
			Happen: func(r *Run) {
				first := r.Random.IntN(3)
				r.Shared.Kill(r, fmt.Sprintf("%s-%d", deps.KafkaCluster, first+1))
				r.Hold(r.Between(time.Second, 4*time.Second))
				r.Shared.Kill(r, fmt.Sprintf("%s-%d", deps.KafkaCluster, (first+1)%3+1))
				r.Hold(r.Between(5*time.Second, 12*time.Second))
				r.Shared.Ensure(r, deps.KafkaCluster)
			},
		},
		{
			Name: "X3", Kind: Failover, Title: "Postgres dies, and its synchronous replica is promoted", Silence: degraded,
			Servers: []string{deps.PostgresReplica}, Synchronous: true, Flags: longLease(),
			Sees: "nothing: votes are acknowledged, counts are exact",
			Prepare: func(r *Run) {
				r.Config.Stores.Postgres = r.Shared.BothPostgres(r, r.Config.Stores.Postgres)
			},
			Happen: func(r *Run) {
				r.Shared.Kill(r, deps.Postgres)
				r.Hold(r.Between(0, 3*time.Second))
				r.Shared.Promote(r)
			},
		},
		{
			Name: "X4", Kind: Failover, Title: "a master of a Redis Cluster dies", Flags: replicated(), Back: participantLease + back,
			Servers: []string{deps.RedisCluster},
			Sees:    "refusals until the next epoch, in Postgres or in Redis",
			Prepare: func(r *Run) { r.Config.Stores.Redis = r.Shared.Address(r, deps.RedisCluster) },
			Happen: func(r *Run) {
				master := r.masterOf("{main}")
				r.Shared.KillAt(r, master)
				r.Hold(r.Between(5*time.Second, 10*time.Second))
				r.Shared.Ensure(r, deps.RedisCluster)
			},
		},
		{
			Name: "X5", Kind: Failover, Title: "a Redis with Sentinels loses its master", Flags: replicated(), Back: participantLease + back,
			Servers: []string{deps.RedisSentinel},
			Sees:    "refusals until the next epoch, in Postgres or in Redis",
			Prepare: func(r *Run) { r.Config.Stores.Redis = r.Shared.Address(r, deps.RedisSentinel) },
			Happen: func(r *Run) {
				r.Shared.KillAt(r, r.sentinelMaster())
				r.Hold(r.Between(5*time.Second, 10*time.Second))
				r.Shared.Ensure(r, deps.RedisSentinel)
			},
		},
		{
			Name: "X8", Kind: Change, Title: "the slot of the ballot moves to another node of the Redis Cluster", Flags: replicated(),
			Back: participantLease + back, Servers: []string{deps.RedisCluster},
			Sees:    "refusals until the next epoch",
			Prepare: func(r *Run) { r.Config.Stores.Redis = r.Shared.Address(r, deps.RedisCluster) },
			Happen:  moveSlot,
		},
	}
}

// withCluster gives a client of the run's Redis Cluster for a moment.
func (r *Run) withCluster(use func(context.Context, *redis.ClusterClient) error) {
	client, err := redisledger.Open(r.Config.Stores.Redis, 2, 5*time.Second)
	if err != nil {
		r.Fatal(err)
	}
	defer client.Close()
	cluster, ok := client.(*redis.ClusterClient)
	if !ok {
		r.Fatalf("the client of %s is a %T", r.Config.Stores.Redis, client)
	}
	ctx, cancel := context.WithTimeout(r.Context(), convergence)
	defer cancel()
	if err := use(ctx, cluster); err != nil {
		r.Fatal(err)
	}
}

func (r *Run) masterOf(key string) (address string) {
	r.withCluster(func(ctx context.Context, c *redis.ClusterClient) error {
		node, err := c.MasterForKey(ctx, key)
		if err == nil {
			address = node.Options().Addr
		}
		return err
	})
	return address
}

func (r *Run) sentinelMaster() string {
	address, name, _ := strings.Cut(strings.TrimPrefix(r.Config.Stores.Redis, "redis+sentinel://"), "/")
	first, _, _ := strings.Cut(address, ",")
	sentinel := redis.NewSentinelClient(&redis.Options{Addr: first})
	defer sentinel.Close()
	found, err := sentinel.GetMasterAddrByName(r.Context(), name).Result()
	if err != nil || len(found) != 2 {
		r.Fatalf("sentinel at %s: %v, %v", first, found, err)
	}
	return found[0] + ":" + found[1]
}

// moveSlot moves the ballot's slot as an operator does: key by key, then for all to know.
func moveSlot(r *Run) {
	r.withCluster(func(ctx context.Context, c *redis.ClusterClient) error {
		from, err := c.MasterForKey(ctx, "{main}")
		if err != nil {
			return err
		}
		to, err := otherMaster(ctx, c, from.Options().Addr)
		if err != nil {
			return err
		}
		m := move{slot: c.ClusterKeySlot(ctx, "{main}").Val(), from: from, to: to}
		return m.run(ctx, c, func() { r.Hold(r.Between(10*time.Millisecond, 100*time.Millisecond)) })
	})
}

func otherMaster(ctx context.Context, c *redis.ClusterClient, than string) (*redis.Client, error) {
	found := make(chan *redis.Client, 100) // more than there are masters
	err := c.ForEachMaster(ctx, func(_ context.Context, node *redis.Client) error {
		if node.Options().Addr != than {
			found <- redis.NewClient(&redis.Options{Addr: node.Options().Addr})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return <-found, nil
}

type move struct {
	slot     int64
	from, to *redis.Client
}

func (m move) run(ctx context.Context, c *redis.ClusterClient, pause func()) error {
	fromID, toID := m.from.Do(ctx, "CLUSTER", "MYID").Val(), m.to.Do(ctx, "CLUSTER", "MYID").Val()
	if err := m.to.Do(ctx, "CLUSTER", "SETSLOT", m.slot, "IMPORTING", fromID).Err(); err != nil {
		return err
	}
	if err := m.from.Do(ctx, "CLUSTER", "SETSLOT", m.slot, "MIGRATING", toID).Err(); err != nil {
		return err
	}
	host, port, _ := strings.Cut(m.to.Options().Addr, ":")
	for {
		keys, err := m.from.ClusterGetKeysInSlot(ctx, int(m.slot), 10).Result()
		if err != nil {
			return err
		}
		if len(keys) == 0 {
			break
		}
		for _, key := range keys {
			if err := m.from.Do(ctx, "MIGRATE", host, port, key, 0, 5000).Err(); err != nil {
				return err
			}
		}
		pause()
	}
	return c.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		return node.Do(ctx, "CLUSTER", "SETSLOT", m.slot, "NODE", toID).Err()
	})
}

// ensureAll is what a run needs of the shared servers.
func (r *Run) ensureAll() {
	if r.Row.server(deps.Kafka) != deps.KafkaCluster {
		r.Shared.Rest(r)
	}
	if r.Row.Synchronous {
		r.Shared.EnsureSynchronous(r, r.Row.servers()...)
	} else {
		r.Shared.Ensure(r, r.Row.servers()...)
	}
}
