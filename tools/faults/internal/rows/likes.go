package rows

import (
	"context"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/littlevote/littlevote/tools/faults/internal/load"
	"github.com/littlevote/littlevote/tools/internal/deps"
	"github.com/littlevote/littlevote/tools/internal/system"
)

// likeRows are faults while readers like and unlike, with sessions and with tokens of two tenants. What happens is the seed's choice.
func likeRows() []Row {
	return []Row{
		{
			Name: "L1", Kind: Kill, Title: "likes: kill -9 of a blog-service, a vote-service, a query-service or a persister", Likes: true, Silence: degraded,
			Sees: "connections that break: unknown, and the same key ends it; who liked is told so",
			Happen: func(r *Run) {
				kinds := []system.Kind{system.Blog, system.Vote, system.Blog, system.Query, system.Persister}
				r.kill(r.One(kinds[r.Random.IntN(len(kinds))]))
			},
		},
		{
			Name: "L2", Kind: Flush, Title: "likes: Redis is emptied, or killed and back on its file, or away for 5 to 10 s", Likes: true,
			Sees: "refusals for at most 5 s; sessions may end; nobody likes twice, and no like is forgotten",
			Happen: func(r *Run) {
				switch r.Random.IntN(3) {
				case 0:
					flush(r)
				case 1:
					r.Redis.Kill()
					r.Hold(r.Between(200*time.Millisecond, 1800*time.Millisecond))
					r.Redis.Start(r)
				default:
					r.Redis.Kill()
					r.Hold(r.Between(5*time.Second, 10*time.Second))
					r.Redis.Start(r)
				}
			},
		},
		{
			Name: "L3", Kind: Kill, Title: "likes: Kafka dies for 3 to 8 s, or is frozen, or Postgres dies for 1 to 4 s", Likes: true, Silence: degraded,
			Sees: "success, slower; a like of what tells no time is refused while Postgres is away",
			Happen: func(r *Run) {
				switch r.Random.IntN(3) {
				case 0:
					r.killServer(deps.Kafka, r.Between(3*time.Second, 8*time.Second))
				case 1:
					r.freezeServer(deps.Kafka, r.Between(3*time.Second, 8*time.Second))
				default:
					r.killServer(deps.Postgres, r.Between(time.Second, 4*time.Second))
				}
			},
		},
		{
			Name: "L4", Kind: Failover, Title: "likes: the primary of Redis dies with a hole in its replica, which is promoted", Likes: true, Proxied: true,
			Flags: replicated(), Back: participantLease + degraded,
			Sees: "refusals from the cut to the next epoch; sessions may end", Happen: promoteWithHole,
		},
		{
			Name: "L5", Kind: Flush, Title: "likes: Redis is emptied, and what was loaded into it turns cold and is evicted; then a vote-service dies",
			Likes: true, ColdIn: coldIn(), Back: 2 * back,
			Sees: "refusals for at most 5 s; nobody likes twice, and no like is forgotten", Happen: turnCold,
		},
	}
}

// coldFrom and coldUntil is when posts turn cold, counted from their making.
const (
	coldFrom  = 25 * time.Second
	coldUntil = 32 * time.Second
)

func coldIn() []time.Duration {
	const posts = 6
	all := make([]time.Duration, posts)
	for i := range all {
		all[i] = coldFrom + time.Duration(i)*(coldUntil-coldFrom)/posts
	}
	return all
}

// turnCold begins an epoch into which the likes are loaded, and waits until some of them are evicted.
func turnCold(r *Run) {
	r.Hold(load.Busy + time.Second + r.Between(0, time.Second) - time.Since(r.admitted))
	r.Strike()
	before := r.epoch()
	flush(r)
	r.awaitEpochAfter(before)
	r.Hold(coldUntil + time.Second + r.Between(0, 2*time.Second) - time.Since(r.admitted))
	if !r.evicted() {
		r.Errorf("nothing was evicted")
	}
	r.kill(r.One(system.Vote))
	if r.Random.IntN(2) == 0 {
		before = r.epoch()
		flush(r)
		r.awaitEpochAfter(before)
	}
}

// evicted says whether the marker of the likes says that states are missing.
func (r *Run) evicted() bool {
	ns, missing := r.epoch().NS, false
	err := r.Redis.With(r.Context(), func(ctx context.Context, rdb *redis.Client) error {
		keys, err := rdb.Keys(ctx, "{"+load.LikesBallot+"}*").Result()
		for _, key := range keys {
			if strings.Contains(key, ns) && rdb.Type(ctx, key).Val() == "hash" {
				missing = missing || rdb.HExists(ctx, key, "evicted").Val()
			}
		}
		return err
	})
	if err != nil {
		r.Fatal(err)
	}
	return missing
}
