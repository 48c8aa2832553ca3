package rows

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/littlevote/littlevote/tools/faults/internal/servers"
	"github.com/littlevote/littlevote/tools/internal/system"
)

func redisRows() []Row {
	return []Row{
		{
			Name: "F6", Kind: Kill, Title: "kill -9 of Redis, back on its file within 2 s",
			Sees: "unavailable for the outage and a moment",
			Happen: func(r *Run) {
				r.Redis.Kill()
				r.Hold(r.Between(200*time.Millisecond, 1800*time.Millisecond))
				r.Redis.Start(r)
			},
		},
		{
			Name: "F7", Kind: Flush, Title: "FLUSHALL, or Redis comes back empty",
			Sees: "refusals for at most 5 s; a count is never shown as 0", Silence: back,
			Happen: flush,
		},
		{
			Name: "F8", Kind: Failover, Title: "the link to the replica is cut, the primary dies, the replica is promoted", Proxied: true,
			Sees: "refusals from the cut to the next epoch", Flags: replicated(), Back: participantLease + degraded,
			Happen: promoteWithHole,
		},
		{
			Name: "F9", Kind: Stop, Title: "Redis has reached its memory limit for 3 to 8 s",
			Sees: "overloaded; reads are fine", Happen: memoryLimit,
		},
		{
			Name: "D1", Kind: Stop, Title: "the disk of Redis is full for 3 to 8 s", SmallDisk: true,
			Sees: "unavailable, or success by way of Postgres",
			Happen: func(r *Run) {
				free := servers.Fill(r, servers.DataDir(r.Config.Dir, redisName))
				r.Hold(r.Between(3*time.Second, 8*time.Second))
				free()
			},
		},
		{
			Name: "F10", Kind: Stop, Title: "Redis sleeps for 8 s, or runs a script that does not end",
			Sees: "no answer later than its deadline", Happen: busyRedis,
		},
		{
			Name: "F25", Kind: Kill, Title: "Redis is away for 10 to 25 s", Silence: degraded, Back: degraded,
			Sees: "votes go on in Postgres, slower",
			Happen: func(r *Run) {
				r.Redis.Kill()
				r.Hold(r.Between(10*time.Second, 25*time.Second))
				r.Redis.Start(r)
			},
		},
		{
			Name: "P2", Kind: Stop, Title: "Redis is frozen for 5 to 15 s", Silence: degraded,
			Sees: "votes go on in Postgres, slower",
			Happen: func(r *Run) {
				r.Redis.Freeze(r)
				r.Hold(r.Between(5*time.Second, 15*time.Second))
				r.Redis.Thaw(r)
			},
		},
		{
			Name: "C2", Kind: Cut, Title: "Redis is cut off from everybody for 3 to 10 s, and keeps what it has", Proxied: true, Silence: degraded,
			Sees: "votes go on in Postgres, slower",
			Happen: func(r *Run) {
				if r.Random.IntN(2) == 0 {
					r.ToRedis.Cut()
				} else {
					r.ToRedis.Hang(r)
				}
				r.Hold(r.Between(3*time.Second, 10*time.Second))
				r.ToRedis.Heal(r)
			},
		},
		{
			Name: "C3", Kind: Cut, Title: "Redis does what it is asked for 2 to 6 s, and its answers are lost", Proxied: true, Silence: degraded,
			Sees: "unknown, and the same key ends it",
			Happen: func(r *Run) {
				r.ToRedis.Mute(r)
				r.Hold(r.Between(2*time.Second, 6*time.Second))
				r.ToRedis.Heal(r)
			},
		},
		{
			Name: "C4", Kind: Cut, Title: "one vote-service is cut off from Redis for 8 s, the others are not", Silence: degraded,
			Sees: "unavailable, where the one is asked", Prepare: ownWay, Proxied: true,
			Happen: func(r *Run) {
				r.ToRedis.Cut()
				r.Hold(8 * time.Second)
				r.ToRedis.Heal(r)
			},
		},
		{
			Name: "X6", Kind: Change, Title: "a count in Redis is changed by hand",
			Sees: "the wrong count until the reconciler sees it", Silence: 2 * back, Happen: drift,
		},
	}
}

func flush(r *Run) {
	if r.Random.IntN(2) == 0 {
		r.Redis.Do(r, "FLUSHALL")
		return
	}
	r.Redis.Kill()
	r.Redis.Forget(r)
	r.Redis.Start(r)
}

// promoteWithHole lets the replica miss the last writes, and then makes it the primary. Only the proxy knows that its
// target is another one.
func promoteWithHole(r *Run) {
	replica := servers.StartRedis(r, r.Dir+"/logs", "redis-replica")
	link := servers.NewProxy(r, "replica link", "", r.Redis.Address)
	replica.Follow(r, link.Address)
	r.AwaitMore(warm)
	r.Strike()
	link.Cut()
	r.Hold(r.Between(200*time.Millisecond, 1500*time.Millisecond))
	if r.Random.IntN(2) == 0 {
		r.Redis.Kill()
	} // else the old one lives on, and whoever still has a connection may talk to it
	replica.Promote(r)
	r.ToRedis.Redirect(r, replica.Address)
	r.System.MoveRedis(r, replica.URL())
}

// memoryLimit lets Redis have as much memory as it uses.
func memoryLimit(r *Run) {
	r.setMemory(func(used int) int { return used + r.Random.IntN(200_000) })
	r.Hold(r.Between(3*time.Second, 8*time.Second))
	r.setMemory(func(int) int { return 0 })
}

func (r *Run) setMemory(limit func(used int) int) {
	err := r.Redis.With(r.Context(), func(ctx context.Context, rdb *redis.Client) error {
		info, err := rdb.Info(ctx, "memory").Result()
		if err != nil {
			return err
		}
		_, rest, _ := strings.Cut(info, "used_memory:")
		digits, _, _ := strings.Cut(rest, "\r")
		used, err := strconv.Atoi(digits)
		if err != nil {
			return err
		}
		return rdb.ConfigSet(ctx, "maxmemory", strconv.Itoa(limit(used))).Err()
	})
	if err != nil {
		r.Fatal(err)
	}
}

// busyRedis lets Redis do something else for a while. A script that has written nothing can be killed.
func busyRedis(r *Run) {
	if r.Random.IntN(2) == 0 {
		r.Redis.Do(r, "DEBUG", "SLEEP", "8")
		return
	}
	busy := make(chan struct{})
	go func() {
		defer close(busy)
		_ = r.Redis.With(r.Context(), func(ctx context.Context, rdb *redis.Client) error {
			return rdb.Eval(ctx, "while true do end", nil).Err() // it ends by being killed
		})
	}()
	r.Hold(8 * time.Second)
	r.Redis.Do(r, "SCRIPT", "KILL")
	<-busy
}

// ownWay lets only the first vote-service go by way of the proxy.
func ownWay(r *Run) {
	r.Config.Way = func(kind system.Kind, index int) system.Stores {
		stores := r.Config.Stores
		if kind == system.Vote && index == 0 {
			stores.Redis = servers.Through(r, stores.Redis, r.ToRedis.Address)
		}
		return stores
	}
}

// drift adds to a tally behind everybody's back.
func drift(r *Run) {
	before := r.epoch()
	err := r.Redis.With(r.Context(), func(ctx context.Context, rdb *redis.Client) error {
		keys, err := rdb.Keys(ctx, "*:tally").Result()
		for _, key := range keys {
			if strings.HasPrefix(key, "{main}:") && strings.Contains(key, before.NS) {
				return rdb.HIncrBy(ctx, key, "A", int64(r.Random.IntN(100)+1)).Err()
			}
		}
		r.Errorf("Redis has no tally of main under %s among %v", before.NS, keys)
		return err
	})
	if err != nil {
		r.Fatal(err)
	}
	r.drifted = true
	r.awaitEpochAfter(before)
}
