package rows

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/tools/internal/scope"
	"github.com/littlevote/littlevote/tools/internal/system"
)

// epochPatience bounds a change of epoch.
const epochPatience = 60 * time.Second

func epochRows() []Row {
	return []Row{
		{
			Name: "X7", Kind: Change, Title: "Redis is held for a planned move, moved, and released", Silence: degraded, Back: degraded,
			Sees: "votes go on in Postgres, slower", Happen: plannedMove,
		},
		{
			Name: "X9", Kind: Flush, Title: "Redis is emptied while the persisters are frozen", Back: 2 * back,
			Sees: "refusals until the persisters have caught up", Happen: flushWithLag,
		},
		{
			Name: "X10", Kind: Kill, Title: "Redis comes back, and loading it takes 2 s", Back: 2 * back,
			Sees: "votes go on in Postgres, but for the time of the load",
			Prepare: func(r *Run) {
				for _, s := range []string{"vote-service-0", "vote-service-1"} {
					r.SetEnv(s, "LITTLEVOTE_FAILPOINT=epoch.loading=sleep:2s")
				}
			},
			Happen: func(r *Run) {
				r.Redis.Kill()
				r.awaitEpoch("epoch in Postgres", func(e pgledger.Epoch) bool { return e.Mode == "pg" })
				r.Redis.Forget(r)
				r.Redis.Start(r)
				r.AwaitMore(warm)
				r.awaitEpoch("epoch in Redis", func(e pgledger.Epoch) bool { return e.Mode == "redis" })
			},
		},
	}
}

// epoch is the row as it is now.
func (r *Run) epoch() pgledger.Epoch {
	e, err := pgledger.CurrentEpoch(r.Context(), r.System.Pool)
	if err != nil {
		r.Fatal(err)
	}
	return e
}

// awaitEpochAfter waits until a later epoch is open.
func (r *Run) awaitEpochAfter(before pgledger.Epoch) {
	r.awaitEpoch(fmt.Sprintf("an epoch after %d", before.Number), func(e pgledger.Epoch) bool { return e.Number > before.Number })
}

func (r *Run) awaitEpoch(what string, is func(pgledger.Epoch) bool) {
	scope.Eventually(r, epochPatience, func() error {
		e, err := pgledger.CurrentEpoch(r.Context(), r.System.Pool)
		if err != nil {
			return err
		}
		if e.State != "open" || !is(e) {
			return fmt.Errorf("no %s: epoch %d in %s is %s", what, e.Number, e.Mode, e.State)
		}
		return nil
	})
}

// operate runs `littlevote epoch`.
func (r *Run) operate(action string) {
	ctx, cancel := context.WithTimeout(r.Context(), epochPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(r.programs, "littlevote"), "epoch", action, "--postgres-url", r.Config.Stores.Postgres)
	if output, err := cmd.CombinedOutput(); err != nil {
		r.Fatalf("littlevote epoch %s: %v\n%s", action, err, output)
	}
}

func plannedMove(r *Run) {
	r.operate("hold")
	r.awaitEpoch("epoch in Postgres", func(e pgledger.Epoch) bool { return e.Mode == "pg" })
	r.AwaitMore(warm)
	r.Redis.Kill()
	r.Redis.Forget(r)
	r.Redis.Start(r)
	r.Hold(r.Between(0, 2*time.Second))
	if e := r.epoch(); e.Mode != "pg" {
		r.Errorf("epoch %d in %s, and Postgres is held", e.Number, e.Mode)
	}
	r.operate("release")
	r.Healed()
	r.awaitEpoch("epoch in Redis", func(e pgledger.Epoch) bool { return e.Mode == "redis" })
}

// flushWithLag lets the log hold votes that Postgres does not.
func flushWithLag(r *Run) {
	for _, s := range r.System.Services(system.Persister) {
		r.signal(s, syscall.SIGSTOP)
		r.Cleanup(func() { _ = s.Signal(syscall.SIGCONT) })
	}
	r.AwaitMore(warm)
	r.Strike()
	r.Redis.Do(r, "FLUSHALL")
	r.Hold(r.Between(2*time.Second, 4*time.Second))
	for _, s := range r.System.Services(system.Persister) {
		r.signal(s, syscall.SIGCONT)
	}
}

// failpointRows kill a process at every place of the protocol at which a kill could matter.
func failpointRows() []Row {
	var all []Row
	for i, point := range []string{"vote.admitted", "vote.produced", "vote.settled"} {
		all = append(all, Row{
			Name: fmt.Sprintf("V%d", i+1), Kind: Kill, Title: "a vote-service dies at " + point, Silence: degraded,
			Sees:    "unknown, and the same key ends it",
			Prepare: func(r *Run) { r.dieAt("vote-service-0", point, 20, 200) },
			Happen:  func(r *Run) { r.awaitFailpoint(r.System.Service(system.Vote, 0)) },
		})
	}
	all = append(all, Row{
		Name: "V4", Kind: Kill, Title: "a vote-service dies at cast.before-commit, while Redis is away", Sees: "unknown, and the same key ends it",
		Prepare: func(r *Run) { r.dieAt("vote-service-0", "cast.before-commit", 5, 50) },
		Happen: func(r *Run) {
			r.Redis.Kill()
			r.awaitFailpoint(r.System.Service(system.Vote, 0))
			r.Redis.Start(r)
		},
	})
	for i, point := range []string{"epoch.ending", "epoch.barrier-passed", "epoch.loading", "epoch.loaded"} {
		all = append(all, Row{
			Name: fmt.Sprintf("E%d", i+1), Kind: Kill, Title: "whoever changes the epoch dies at " + point,
			Sees: "refusals until another one takes over", Back: participantLease + back,
			Happen: func(r *Run) { dieChanging(r, point) },
		})
	}
	return all
}

// dieChanging arms both vote-services, one after the other, and then empties Redis: the first to come by dies.
func dieChanging(r *Run, point string) {
	for _, s := range r.System.Services(system.Vote) {
		s.Stop(r)
		s.Env = []string{"LITTLEVOTE_FAILPOINT=" + point + "=exit:1"}
		s.Start()
		s.AwaitReady(r)
	}
	before := r.epoch()
	r.AwaitMore(warm)
	r.Strike()
	flush(r)
	all := r.System.Services(system.Vote)
	for deaths := range all {
		dead := r.awaitOneDead(all, before)
		if dead == nil && deaths > 0 {
			break // who took over went on behind the failpoint
		}
		if dead == nil {
			r.Fatal("the epoch has changed, and nobody has come by the failpoint")
		}
		r.Hold(r.Between(0, time.Second))
		r.Restart(dead)
		if r.Random.IntN(2) == 0 {
			break // the other one may die as well, or not
		}
	}
	r.awaitEpochAfter(before)
	for _, s := range all {
		select {
		case <-s.Done():
			r.Restart(s)
		default:
		}
	}
}

// awaitOneDead returns nil if nobody has died and the epoch has changed.
func (r *Run) awaitOneDead(all []*system.Service, before pgledger.Epoch) *system.Service {
	var dead *system.Service
	scope.Eventually(r, failpointPatience, func() error {
		now := r.epoch() // before the look at the processes: one that died in the change is seen
		for _, s := range all {
			select {
			case <-s.Done():
				dead = s
				return nil
			default:
			}
		}
		if now.Number > before.Number && now.State == "open" {
			return nil
		}
		return fmt.Errorf("nobody has come by the failpoint")
	})
	return dead
}
