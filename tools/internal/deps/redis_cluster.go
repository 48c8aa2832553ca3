package deps

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"
)

// RedisCluster is the name of a cluster of three masters and a replica of each.
const RedisCluster = "redis-cluster"

const (
	clusterMasters = 3
	clusterSlots   = 16384
)

// clusterNodes are the names of the nodes: the first three begin as masters, the others as their replicas, in order.
func clusterNodes() []string {
	names := make([]string, 2*clusterMasters)
	for i := range names {
		names[i] = fmt.Sprintf("%s-%d", RedisCluster, i+1)
	}
	return names
}

// startCluster starts the nodes, and makes a cluster of them unless they are one.
func (s *site) startCluster(ctx context.Context) error {
	group, starting := errgroup.WithContext(ctx)
	for _, name := range clusterNodes() {
		group.Go(func() error { return s.startOnce(starting, name, readyTimeout) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	var nodes []*redis.Client
	for _, name := range clusterNodes() {
		c := redisAt(s.at(name, client))
		defer func() { _ = c.Close() }()
		nodes = append(nodes, c)
	}
	known, err := info(ctx, nodes[0], "cluster")
	if err != nil {
		return err
	}
	if known["cluster_slots_assigned"] == "0" {
		if err := s.formCluster(ctx, nodes); err != nil {
			return fmt.Errorf("form the Redis cluster: %w", err)
		}
	}
	if err := s.settled(ctx, RedisCluster, func(ctx context.Context) error { return clusterReady(ctx, nodes) }); err != nil {
		return err
	}
	s.say("%s is ready", RedisCluster)
	return nil
}

// formCluster deals the slots out to new nodes, introduces the nodes to each other, and gives each master its replica.
func (s *site) formCluster(ctx context.Context, nodes []*redis.Client) error {
	ids := make([]string, len(nodes))
	for i, node := range nodes {
		id, err := node.Do(ctx, "CLUSTER", "MYID").Text()
		if err != nil {
			return err
		}
		ids[i] = id
		if err := node.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err(); err != nil {
			return err
		}
		if i < clusterMasters {
			from, to := i*clusterSlots/clusterMasters, (i+1)*clusterSlots/clusterMasters-1
			if err := node.ClusterAddSlotsRange(ctx, from, to).Err(); err != nil {
				return err
			}
		}
	}
	for _, name := range clusterNodes()[1:] {
		err := nodes[0].Do(ctx, "CLUSTER", "MEET", "127.0.0.1", s.state.port(name, client), s.state.port(name, bus)).Err()
		if err != nil {
			return err
		}
	}
	return s.settled(ctx, RedisCluster, func(ctx context.Context) error {
		for i, node := range nodes[clusterMasters:] {
			if err := node.ClusterReplicate(ctx, ids[i]).Err(); err != nil {
				return err
			}
		}
		return nil
	})
}

// clusterReady is nil when every node takes part, sees all slots served, and every replica follows its master.
func clusterReady(ctx context.Context, nodes []*redis.Client) error {
	for i, node := range nodes {
		state, err := info(ctx, node, "cluster")
		if err != nil {
			return err
		}
		if state["cluster_state"] != "ok" || state["cluster_known_nodes"] != strconv.Itoa(len(nodes)) {
			return fmt.Errorf("node %d: state %s, knows %s nodes", i+1, state["cluster_state"], state["cluster_known_nodes"])
		}
		if err := follows(ctx, node); err != nil {
			return fmt.Errorf("node %d: %w", i+1, err)
		}
	}
	replicas, err := nodes[0].Do(ctx, "CLUSTER", "NODES").Text()
	if err == nil && strings.Count(replicas, "slave ") != len(nodes)-clusterMasters {
		err = errors.New("not every master has its replica")
	}
	return err
}

// follows is nil if a node is a master, or a replica that is in step.
func follows(ctx context.Context, node *redis.Client) error {
	r, err := info(ctx, node, "replication")
	if err == nil && r["role"] == "slave" && r["master_link_status"] != "up" {
		err = fmt.Errorf("the link to its master is %s", r["master_link_status"])
	}
	return err
}

// info reads what a node says of itself: CLUSTER INFO, or a section of INFO.
func info(ctx context.Context, node *redis.Client, section string) (map[string]string, error) {
	var text string
	var err error
	if section == "cluster" {
		text, err = node.ClusterInfo(ctx).Result()
	} else {
		text, err = node.Info(ctx, section).Result()
	}
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		fields[key] = value
	}
	return fields, err
}

// settled waits until servers that run together have found each other.
func (s *site) settled(ctx context.Context, name string, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	ticker := time.NewTicker(readyPoll)
	defer ticker.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not come together: %w", name, errors.Join(err, ctx.Err()))
		case <-ticker.C:
		}
	}
}

// clusterURL names all nodes.
func (s *site) clusterURL() string { return "redis+cluster://" + s.hosts(clusterNodes()) }

// hosts lists where servers are, with commas between.
func (s *site) hosts(names []string) string {
	at := make([]string, len(names))
	for i, name := range names {
		at[i] = s.at(name, client)
	}
	return strings.Join(at, ",")
}
