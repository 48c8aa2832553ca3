package doctor

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/redisledger"
)

// storeTimeout is how long a store may take for one answer.
const storeTimeout = 5 * time.Second

// redisNode is what a master says of itself: its INFO, and CLUSTER INFO where it has one, as name and value. A service in a cloud may say less.
type redisNode struct {
	address string
	info    map[string]string
	fsync   string // appendfsync, where it may be asked
	cluster map[string]string
}

func (n redisNode) number(name string) (int64, bool) {
	value, err := strconv.ParseInt(n.info[name], 10, 64)
	return value, err == nil
}

// redisSettings are those of the services, with as few connections as one person needs.
func redisSettings(s *settings) config.Redis {
	cfg := s.Redis
	cfg.PoolSize, cfg.Timeout = 4, storeTimeout
	return cfg
}

const redisLost = "without Redis votes are decided in Postgres, slower"

func examineRedis(ctx context.Context, s *settings, _ func() time.Time) []Finding {
	l := &list{area: "redis"}
	if s.Redis.URL == "" {
		return nil
	}
	rdb, err := redisledger.Connect(redisSettings(s), slog.New(slog.DiscardHandler))
	if err != nil {
		l.unreachable("redis.url", err, redisLost, "correct redis.url")
		return l.all
	}
	defer rdb.Close()
	nodes, err := askRedis(ctx, rdb)
	if err != nil {
		l.unreachable("Redis", err, redisLost, "start it, or correct redis.url and what stands between")
		return l.all
	}
	for _, n := range nodes {
		l.judgeRedis(n, s.Redis.Replicated, strings.Contains(s.Redis.URL, "+"))
	}
	return l.all
}

// askRedis asks every master.
func askRedis(ctx context.Context, rdb redis.UniversalClient) ([]redisNode, error) {
	cluster, ok := rdb.(*redis.ClusterClient)
	if !ok {
		n, err := askNode(ctx, rdb, false)
		return []redisNode{n}, err
	}
	var mu sync.Mutex
	var nodes []redisNode
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, one *redis.Client) error {
		n, err := askNode(ctx, one, true)
		n.address = " " + one.Options().Addr
		mu.Lock()
		defer mu.Unlock()
		nodes = append(nodes, n)
		return err
	})
	return nodes, err
}

func askNode(ctx context.Context, rdb redis.Cmdable, cluster bool) (redisNode, error) {
	n := redisNode{}
	if err := rdb.Ping(ctx).Err(); err != nil {
		return n, err
	}
	text, err := rdb.Info(ctx).Result()
	if err != nil {
		return n, err
	}
	n.info = fields(text)
	if settings, err := rdb.ConfigGet(ctx, "appendfsync").Result(); err == nil { // many clouds forbid it
		n.fsync = settings["appendfsync"]
	}
	if cluster {
		text, err := rdb.ClusterInfo(ctx).Result()
		if err != nil {
			return n, err
		}
		n.cluster = fields(text)
	}
	return n, nil
}

// fields reads lines of name:value.
func fields(text string) map[string]string {
	all := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			all[name] = value
		}
	}
	return all
}

// judgeRedis judges one master; failover says that replicas are promoted by themselves.
func (l *list) judgeRedis(n redisNode, replicated, failover bool) {
	l.ok("version", "Redis%s %s answers", n.address, n.info["redis_version"])
	if major, _, ok := strings.Cut(n.info["redis_version"], "."); ok {
		if number, err := strconv.Atoi(major); err == nil && number < 7 {
			l.add(Warning, "version", fmt.Sprintf("Redis%s is %s", n.address, n.info["redis_version"]),
				"versions before 7.0 were never tried", "upgrade Redis: `littlevote epoch hold`, move, `littlevote epoch release`")
		}
	}
	if role := n.info["role"]; role != "" && role != "master" {
		l.add(Broken, "role", fmt.Sprintf("Redis%s is a replica, which takes no votes", n.address), redisLost, "let redis.url name the master, or Sentinels: redis+sentinel://…")
	}
	l.judgeEviction(n)
	l.judgeMemory(n)
	l.judgeFiles(n)
	l.judgeReplicas(n, replicated, failover)
	l.judgeCluster(n)
}

func (l *list) judgeEviction(n redisNode) {
	policy := n.info["maxmemory_policy"]
	switch policy {
	case "":
	case "noeviction":
		l.ok("maxmemory-policy", "maxmemory-policy%s is noeviction", n.address)
	default:
		l.add(Broken, "maxmemory-policy", fmt.Sprintf("maxmemory-policy%s is %s", n.address, policy),
			"when memory is short, Redis throws away tickets, keys and counts, as if nobody had ever voted",
			"CONFIG SET maxmemory-policy noeviction, and the same in redis.conf", "G2", "G4", "G7", "G9")
	}
}

func (l *list) judgeMemory(n redisNode) {
	used, known := n.number("used_memory")
	if !known {
		return
	}
	what := "maxmemory"
	limit, _ := n.number("maxmemory")
	if limit == 0 {
		limit, _ = n.number("total_system_memory")
		what = "the machine's memory"
		l.add(Note, "maxmemory", fmt.Sprintf("maxmemory%s is not set", n.address),
			"at its end the kernel kills Redis; with a limit it refuses votes and goes on", "set maxmemory to two thirds of the machine's memory")
	}
	if limit == 0 {
		return
	}
	share := 100 * used / limit
	switch {
	case share >= 95:
		l.add(Broken, "memory", fmt.Sprintf("Redis%s uses %d %% of %s", n.address, share, what), "votes are refused when it is full", "raise maxmemory, or close ballots that are over", "G1")
	case share >= 75:
		l.add(Warning, "memory", fmt.Sprintf("Redis%s uses %d %% of %s", n.address, share, what), "votes are refused when it is full", "raise maxmemory, or close ballots that are over")
	default:
		l.ok("memory", "Redis%s uses %d %% of %s", n.address, share, what)
	}
}

// judgeFiles looks at what Redis writes. No promise hangs on it: the ledger is rebuilt from Postgres.
func (l *list) judgeFiles(n redisNode) {
	switch {
	case n.info["aof_enabled"] == "0":
		l.add(Note, "appendonly", fmt.Sprintf("appendonly%s is off", n.address),
			"after a restart of Redis voters wait for a second or two until it is loaded from Postgres; nothing is lost", "CONFIG SET appendonly yes, and the same in redis.conf")
	case n.fsync == "no":
		l.add(Note, "appendfsync", fmt.Sprintf("appendfsync%s is no", n.address),
			"after a power cut Redis is loaded from Postgres; nothing is lost", "CONFIG SET appendfsync everysec")
	case n.info["aof_enabled"] == "1":
		l.ok("appendonly", "appendonly%s is on", n.address)
	}
	for _, one := range []struct{ field, check string }{{"aof_last_write_status", "appendonly"}, {"rdb_last_bgsave_status", "save"}} {
		if status := n.info[one.field]; status != "" && status != "ok" {
			l.add(Broken, one.check, fmt.Sprintf("%s%s is %s", one.field, n.address, status), "Redis refuses writes while it cannot write its files, so votes are decided in Postgres", "look at Redis's log and at its disk: most often that is full")
		}
	}
}

func (l *list) judgeReplicas(n redisNode, replicated, failover bool) {
	replicas, known := n.number("connected_slaves")
	switch {
	case !known:
		return
	case replicas > 0 && !replicated:
		l.add(Broken, "replicated", fmt.Sprintf("Redis%s has %d replicas, and redis.replicated is false", n.address, replicas),
			"a replica that is promoted may lack the last votes, and the services would believe it", "redis.replicated: true, for every service", "G2", "G4", "G7")
	case failover && !replicated:
		l.add(Broken, "replicated", "redis.url names a Cluster or Sentinels, and redis.replicated is false",
			"a replica that is promoted may lack the last votes, and the services would believe it", "redis.replicated: true, for every service", "G2", "G4", "G7")
	case replicas == 0 && replicated:
		l.add(Warning, "replicas", fmt.Sprintf("no replica of Redis%s is connected", n.address), "nobody takes over when it dies, and votes go to Postgres", "start the replica, or redis.replicated: false where there is none")
	default:
		l.ok("replicas", "Redis%s has %d replicas, as redis.replicated says", n.address, replicas)
	}
	for i := range replicas {
		for pair := range strings.SplitSeq(n.info[fmt.Sprintf("slave%d", i)], ",") {
			lag, is := strings.CutPrefix(pair, "lag=")
			if seconds, err := strconv.Atoi(lag); is && err == nil && seconds > 5 {
				l.add(Warning, "replica-lag", fmt.Sprintf("replica %d of Redis%s is %d s behind", i, n.address, seconds),
					"promoted now, it would lack that much, and the epoch would change", "look at the link between them")
			}
		}
	}
}

func (l *list) judgeCluster(n redisNode) {
	if n.cluster == nil {
		return
	}
	if state, slots := n.cluster["cluster_state"], n.cluster["cluster_slots_ok"]; state != "ok" || slots != "16384" {
		l.add(Broken, "cluster", fmt.Sprintf("cluster_state%s is %s, %s of 16384 slots are served", n.address, state, slots),
			"ballots whose slot nobody serves take no votes in Redis", "redis-cli --cluster check, then --cluster fix", "G1")
		return
	}
	l.ok("cluster", "the cluster%s serves all slots", n.address)
}
