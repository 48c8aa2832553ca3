package rows

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/tools/faults/internal/servers"
	"github.com/littlevote/littlevote/tools/internal/deps"
	"github.com/littlevote/littlevote/tools/internal/scope"
	"github.com/littlevote/littlevote/tools/internal/system"
)

// handRows are what people do to servers by hand, or with tools that know nothing of votes.
func handRows() []Row {
	return []Row{
		{
			Name: "M1", Kind: Change, Title: "Redis is set to evict, and 4 s later its memory is short for 8 s", Silence: degraded,
			Sees: "votes go on in Postgres, slower", Happen: evict,
		},
		{
			Name: "M2", Kind: Change, Title: "every connection to Redis is closed, and its scripts are flushed, again and again for 6 s",
			Sees: "unknown, and the same key ends it", Silence: degraded,
			Happen: func(r *Run) {
				r.repeat(6*time.Second, 200*time.Millisecond, func(ctx context.Context) error {
					return r.Redis.With(ctx, func(ctx context.Context, rdb *redis.Client) error {
						if err := rdb.ScriptFlush(ctx).Err(); err != nil {
							return err
						}
						return rdb.ClientKillByFilter(ctx, "TYPE", "normal", "SKIPME", "yes").Err()
					})
				})
			},
		},
		{
			Name: "M3", Kind: Change, Title: "Redis is made the replica of an empty one for 3 to 6 s, and then a primary again", Silence: degraded,
			Sees: "votes go on in Postgres, slower",
			Happen: func(r *Run) {
				empty := servers.StartRedis(r, r.Dir+"/logs", "redis-empty")
				r.Strike()
				r.Redis.Follow(r, empty.Address)
				r.Hold(r.Between(3*time.Second, 6*time.Second))
				r.Redis.Promote(r)
			},
		},
		{
			Name: "M10", Kind: Change, Title: "a key of the ballot is deleted from Redis, three times",
			Sees: "refusals until the next epoch; a count is never shown too low", Happen: deleteKeys,
		},
		{
			Name: "M4", Kind: Change, Title: "every connection to Postgres is closed, again and again for 6 s", Flags: longLease(),
			Sees: "nothing: votes are acknowledged, counts are exact", Silence: degraded,
			Happen: func(r *Run) {
				r.repeat(6*time.Second, 200*time.Millisecond, func(ctx context.Context) error {
					return servers.Execute(ctx, r.Config.Stores.Postgres, `
						SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
						WHERE datname = current_database() AND pid <> pg_backend_pid()`)
				})
			},
		},
		{
			Name: "M5", Kind: Change, Title: "Postgres takes no writes for 3 to 8 s", Flags: longLease(),
			Sees: "nothing: votes are acknowledged, counts are exact", Silence: degraded,
			Happen: func(r *Run) {
				r.administer("ALTER SYSTEM SET default_transaction_read_only = on")
				writable := func() { r.administer("ALTER SYSTEM RESET default_transaction_read_only") }
				r.Cleanup(writable) // the server is shared
				r.Hold(r.Between(3*time.Second, 8*time.Second))
				writable()
			},
		},
		{
			Name: "M6", Kind: Change, Title: "somebody locks the tables of votes and counts for 3 to 8 s", Flags: longLease(),
			Sees: "nothing: votes are acknowledged, counts are exact", Silence: degraded,
			Happen: func(r *Run) {
				err := servers.Execute(r.Context(), r.Config.Stores.Postgres, fmt.Sprintf(
					"DO $$ BEGIN LOCK TABLE user_votes, vote_logs IN ACCESS EXCLUSIVE MODE; PERFORM pg_sleep(%f); END $$",
					r.Between(3*time.Second, 8*time.Second).Seconds()))
				if err != nil {
					r.Fatal(err)
				}
			},
		},
		{
			Name: "M7", Kind: Change, Title: "the persisters' group in Kafka is set back to the beginning and deleted, every second for 6 s",
			Sees: "nothing", Silence: degraded,
			Happen: func(r *Run) { r.repeat(6*time.Second, time.Second, r.resetGroup) },
		},
		{
			Name: "M8", Kind: Change, Title: "the topic of the votes gets more partitions, twice", Sees: "nothing", Silence: degraded,
			Happen: func(r *Run) {
				for range 2 {
					if _, err := r.System.Kafka.CreatePartitions(r.Context(), 3, r.System.Topics.Votes); err != nil {
						r.Fatal(err)
					}
					r.Hold(3 * time.Second)
				}
			},
		},
		{
			Name: "M9", Kind: Stop, Title: "every service stutters for 8 s: it is frozen for 0.3 s, and goes on for 0.1 s",
			Sees: "slower answers", Silence: degraded, Happen: func(r *Run) { stutter(r, func() {}, func() {}) },
		},
		{
			Name: "M11", Kind: Stop, Title: "every service, Redis and Kafka stutter for 8 s: all are frozen for 0.3 s, and go on for 0.1 s",
			Sees: "slower answers, and votes that go on in Postgres",
			Happen: func(r *Run) {
				stutter(r, func() { r.Redis.Freeze(r); r.Shared.Freeze(r, deps.Kafka) }, func() { r.Redis.Thaw(r); r.Shared.Thaw(r, deps.Kafka) })
			},
		},
		{
			Name: "M12", Kind: Kill, Title: "kill -9 of every service; they are started again, and Redis loses its counts before the persisters are back",
			Sees: "refusals until the persisters have caught up; a count is never shown too low", Happen: flushBeforePersisters,
		},
	}
}

func evict(r *Run) {
	policies := []string{"allkeys-random", "allkeys-lru", "volatile-ttl"}
	r.Redis.Do(r, "CONFIG", "SET", "maxmemory-policy", policies[r.Random.IntN(len(policies))])
	r.Hold(4 * time.Second)
	r.setMemory(func(used int) int { return used/2 + r.Random.IntN(used/2) })
	r.Hold(8 * time.Second)
	r.Redis.Do(r, "CONFIG", "SET", "maxmemory-policy", "noeviction")
	r.setMemory(func(int) int { return 0 })
}

// deleteKeys takes one of those that others speak of, and waits for the epoch to change.
func deleteKeys(r *Run) {
	kinds := []string{"ticket", "tally", "updated", "outbox", "outboxTimes"}
	for range 3 {
		kind := kinds[r.Random.IntN(len(kinds))]
		var before pgledger.Epoch
		scope.Eventually(r, epochPatience, func() error { // an outbox that is empty has no key, an epoch that is over none at all
			before = r.epoch()
			return r.Redis.With(r.Context(), func(ctx context.Context, rdb *redis.Client) error {
				gone, err := rdb.Del(ctx, "{main}:"+before.NS+":"+kind).Result()
				if err == nil && gone == 0 {
					err = fmt.Errorf("epoch %d has no %s", before.Number, kind)
				}
				return err
			})
		})
		r.Note("%s", kind)
		if kind != "outboxTimes" && kind != "outbox" { // nobody need miss a batch that is settled in the same moment
			r.awaitEpochAfter(before)
		}
		r.Hold(r.Between(100*time.Millisecond, time.Second))
	}
}

// flushBeforePersisters lets Redis forget what Postgres does not have: Kafka keeps the partitions for the dead persisters until their
// sessions are over, and the others take votes by then.
func flushBeforePersisters(r *Run) {
	for _, s := range r.System.All() {
		s.Kill()
	}
	for _, s := range r.System.All() {
		s.Start()
	}
	for _, gateway := range r.System.Gateways {
		system.AwaitAnswers(r, gateway)
	}
	r.AwaitMore(r.Random.IntN(warm))
	if r.Random.IntN(2) == 0 {
		r.Redis.Do(r, "FLUSHALL")
	} else {
		r.Redis.Do(r, "DEL", "{main}:"+r.epoch().NS+":tally")
	}
	for _, s := range r.System.All() {
		s.AwaitReady(r)
	}
}

// resetGroup does what a tool for groups does. Kafka refuses most of it while the group has members.
func (r *Run) resetGroup(ctx context.Context) error {
	starts, err := r.System.Kafka.ListStartOffsets(ctx, r.System.Topics.Votes)
	if err != nil {
		return err
	}
	groups, err := r.System.Kafka.ListGroups(ctx)
	if err != nil {
		return err
	}
	mine := slices.DeleteFunc(groups.Groups(), func(group string) bool {
		return !strings.HasPrefix(group, r.Config.Stores.TopicPrefix)
	})
	if len(mine) == 0 {
		return fmt.Errorf("no group of %s among %v", r.Config.Stores.TopicPrefix, groups.Groups())
	}
	for _, group := range mine {
		r.Logf("%s is set back: %v", group, r.System.Kafka.CommitAllOffsets(ctx, group, starts.Offsets()))
	}
	deleted, err := r.System.Kafka.DeleteGroups(ctx, mine...)
	r.Logf("deleted: %v", deleted)
	return err
}

// stutter freezes every service again and again, and what else there is.
func stutter(r *Run, freeze, thaw func()) {
	var all []*system.Service
	for _, kind := range []system.Kind{system.Ticket, system.Vote, system.Query, system.Persister} {
		all = append(all, r.System.Services(kind)...)
	}
	for end := time.Now().Add(8 * time.Second); time.Now().Before(end); {
		for _, s := range all {
			r.signal(s, syscall.SIGSTOP)
		}
		freeze()
		r.Hold(300 * time.Millisecond)
		thaw()
		for _, s := range all {
			r.signal(s, syscall.SIGCONT)
		}
		r.Hold(100 * time.Millisecond)
	}
}

// repeat does something every so often for a time. It may fail, as it does while the other side recovers from the last one.
func (r *Run) repeat(d, every time.Duration, do func(ctx context.Context) error) {
	done := 0
	for end := time.Now().Add(d); time.Now().Before(end); r.Hold(every) {
		if err := do(r.Context()); err != nil {
			r.Logf("not done: %v", err)
			continue
		}
		done++
	}
	r.Note("done %d times", done)
	if done == 0 {
		r.Errorf("nothing was done")
	}
}

// administer tells the server what holds for all of its databases.
func (r *Run) administer(statement string) {
	for _, s := range []string{statement, "SELECT pg_reload_conf()"} {
		if err := servers.Execute(context.WithoutCancel(r.Context()), r.Shared.Address(r, deps.Postgres), s); err != nil {
			r.Fatal(err)
		}
	}
}
