package rows

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/littlevote/littlevote/tools/faults/internal/load"
	"github.com/littlevote/littlevote/tools/faults/internal/servers"
	"github.com/littlevote/littlevote/tools/internal/checker"
	"github.com/littlevote/littlevote/tools/internal/deps"
	"github.com/littlevote/littlevote/tools/internal/system"
)

// longLease is the lease as it comes, longer than the fault.
func longLease() map[system.Kind][]string {
	flag := []string{"--participant-lease=60s"}
	return map[system.Kind][]string{system.Vote: flag, system.Query: flag}
}

func postgresRows() []Row {
	return []Row{
		{
			Name: "F16", Kind: Kill, Title: "kill -9 of Postgres, back after 10 to 20 s", Silence: degraded, Flags: longLease(),
			Sees:   "nothing: votes are acknowledged, counts are exact",
			Happen: func(r *Run) { r.killServer(deps.Postgres, r.Between(10*time.Second, 20*time.Second)) },
		},
		{
			Name: "C5", Kind: Cut, Title: "Postgres is cut off for 3 to 10 s", Proxied: true, Silence: degraded, Flags: longLease(),
			Sees: "nothing: votes are acknowledged, counts are exact",
			Happen: func(r *Run) {
				if r.Random.IntN(2) == 0 {
					r.ToPg.Cut()
				} else {
					r.ToPg.Hang(r)
				}
				r.Hold(r.Between(3*time.Second, 10*time.Second))
				r.ToPg.Heal(r)
			},
		},
		{
			Name: "X2", Kind: Kill, Title: "Postgres is away for longer than the lease of 5 s", Back: back + degraded,
			Sees:   "votes for the lease, then definite refusals",
			Happen: func(r *Run) { r.killServer(deps.Postgres, participantLease+r.Between(3*time.Second, 8*time.Second)) },
			Judge: func(r *Run) {
				r.none("past the lease", r.faultAt.Add(participantLease+time.Second), r.healAt.Add(-3*time.Second))
			},
		},
		{
			Name: "F17", Kind: Kill, Title: "Kafka and Postgres are away for 5 to 10 s", Back: back + degraded, Flags: longLease(),
			Sees: "no success; refusals with the use given back, or unknown",
			Happen: func(r *Run) {
				r.Shared.Kill(r, deps.Kafka)
				r.Shared.Kill(r, deps.Postgres)
				r.Strike()
				r.Hold(r.Between(5*time.Second, 10*time.Second))
				r.awayUntil = time.Now()
				r.Shared.Ensure(r, deps.Kafka, deps.Postgres)
			},
			Judge: func(r *Run) { r.none("without Kafka and Postgres", r.faultAt, r.awayUntil) },
		},
		{
			Name: "F18", Kind: Stop, Title: "the replica of Postgres is behind, and Redis does not answer", Silence: degraded,
			Servers: []string{deps.PostgresReplica},
			Sees:    "a read with a token is right or waits; others say that they may be stale",
			Prepare: func(r *Run) {
				admin := r.Shared.Address(r, deps.PostgresReplica)
				r.Config.Stores.PostgresReplica = servers.Through(r, r.Config.Stores.Postgres, servers.HostOf(admin))
			},
			Happen: replicaBehind,
		},
		{
			Name: "F20", Kind: Kill, Title: "migrations are killed again and again until they are through",
			Sees: "nothing", Prepare: killedMigrations, Happen: func(r *Run) { r.Hold(time.Second) },
		},
	}
}

// none says that a vote was acknowledged when none could be.
func (r *Run) none(when string, from, to time.Time) {
	if n := load.Between(r.Crowd.History.Attempts(), checker.Counted, from, to); n > 0 {
		r.Errorf("%d votes were sent %s, and acknowledged", n, when)
	}
}

func replicaBehind(r *Run) {
	replica := r.Shared.Address(r, deps.PostgresReplica)
	tell := func(statement string) {
		if err := servers.Execute(context.WithoutCancel(r.Context()), replica, statement); err != nil {
			r.Fatal(err)
		}
	}
	tell("SELECT pg_wal_replay_pause()")
	r.Cleanup(func() { tell("SELECT pg_wal_replay_resume()") })
	r.AwaitMore(warm)
	r.Strike()
	r.Redis.Freeze(r)
	r.Hold(r.Between(500*time.Millisecond, 6*time.Second))
	r.Redis.Thaw(r)
	tell("SELECT pg_wal_replay_resume()")
}

// killedMigrations makes the schema by a migration that is killed after a moment, each time a longer one.
func killedMigrations(r *Run) {
	kills := 0
	for wait := 20 * time.Millisecond; ; wait += r.Between(10*time.Millisecond, 60*time.Millisecond) {
		log, err := os.OpenFile(filepath.Join(r.Dir, "logs", "migrate.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			r.Fatal(err)
		}
		cmd := exec.CommandContext(r.Context(), filepath.Join(r.programs, "littlevote"), "migrate", "--postgres-url", r.Config.Stores.Postgres)
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Start(); err != nil {
			r.Fatal(err)
		}
		timer := time.AfterFunc(wait, func() { _ = cmd.Process.Kill() }) // an error says that it has ended
		err = cmd.Wait()
		_ = log.Close()
		if timer.Stop() {
			if err != nil {
				r.Fatal(fmt.Errorf("migrate after %d kills: %w", kills, err))
			}
			r.Note("killed %d times", kills)
			return
		}
		kills++
	}
}
