package rows

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"time"

	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
	"github.com/littlevote/littlevote/tools/faults/internal/load"
	"github.com/littlevote/littlevote/tools/faults/internal/release"
	"github.com/littlevote/littlevote/tools/faults/internal/servers"
	"github.com/littlevote/littlevote/tools/internal/checker"
	"github.com/littlevote/littlevote/tools/internal/deps"
	"github.com/littlevote/littlevote/tools/internal/scope"
	"github.com/littlevote/littlevote/tools/internal/system"
)

// Bounds of a run.
const (
	voters       = 16
	warm         = 100 // acknowledged votes before the fault, and after it
	warmLikes    = 40
	flowPatience = 60 * time.Second
	redisName    = "redis"

	closedPatience = 3 * time.Second
	smallDisk      = 32 << 20
	faultWindow    = 1500 * time.Millisecond // in which the fault begins
)

// Run is one row, tried once. A row's functions see the system through it.
type Run struct {
	scope.Scope

	Row     Row
	Seed    uint64
	Random  *rand.Rand
	Dir     string // logs, history, tables
	Shared  *servers.Shared
	Redis   *servers.Redis // the run's own; rows that need others start them in Prepare
	System  *system.System
	Crowd   *load.Crowd
	People  *load.People
	Readers *load.Readers // nil unless the row is of likes
	Watch   *load.Watchers
	Config  system.Config
	ToRedis *servers.Proxy // nil unless Proxied
	ToPg    *servers.Proxy
	ToKafka *servers.Proxy

	programs  string
	before    release.Programs  // of the version before this one, for rows that start from it
	env       map[string]string // of every service
	faultAt   time.Time
	healAt    time.Time
	stoppedAt time.Time                    // the crowd
	awayUntil time.Time                    // F17: until both stores were away
	closedAt  time.Time                    // F26
	dieByVoid bool                         // F27: a vote-service dies as soon as it has approved the void
	void      *ballotv1.ProposeVoidRequest // F27
	admitted  time.Time                    // the readers, with their posts
	poisoned  int                          // F15: how many records
	halted    map[int32]int64              // F24: offsets before the records went
	spansTo   string                       // O1: where the collector is
	drifted   bool                         // a count was wrong by intent, so it falls
	ledger    checker.Ledger
	slow      []string
	judged    bool
	skipped   bool
	note      string
}

// Between is a moment's length that the seed chooses.
func (r *Run) Between(least, most time.Duration) time.Duration {
	return least + time.Duration(r.Random.Int64N(int64(most-least)+1))
}

// Hold lets the fault go on.
func (r *Run) Hold(d time.Duration) {
	select {
	case <-r.Context().Done():
		r.Fatal("stopped")
	case <-time.After(d):
	}
}

// Skip ends the run without a verdict: it cannot take place here.
func (r *Run) Skip(why string) {
	r.skipped = true
	r.Note("%s", why)
	runtime.Goexit()
}

// Strike says that the fault is about to begin; without it, it began when Happen did.
func (r *Run) Strike() { r.faultAt = time.Now() }

// Healed says that nothing is wrong any more; without it that is when Happen returns.
func (r *Run) Healed() { r.healAt = time.Now() }

// AwaitMore waits until so many more votes have been acknowledged.
func (r *Run) AwaitMore(votes int) { r.Crowd.AwaitMore(r, votes, flowPatience) }

// Note adds to the line of the run.
func (r *Run) Note(format string, args ...any) {
	if r.note != "" {
		r.note += "; "
	}
	r.note += fmt.Sprintf(format, args...)
	r.Logf("note: "+format, args...)
}

// timely says whether a promise about time or speed was kept.
func (r *Run) timely(what string, kept bool) {
	if !kept {
		r.slow = append(r.slow, what)
	}
}

// One is a replica that the seed chooses.
func (r *Run) One(kind system.Kind) *system.Service {
	all := r.System.Services(kind)
	return all[r.Random.IntN(len(all))]
}

// Restart starts a service again that has ended, and waits until it is ready.
func (r *Run) Restart(s *system.Service) {
	s.Env = nil
	for key, value := range r.env {
		s.Env = append(s.Env, key+"="+value)
	}
	s.Start()
	s.AwaitReady(r)
}

// SetEnv gives a service an environment from its start on.
func (r *Run) SetEnv(service string, pair string) {
	if r.Config.Env == nil {
		r.Config.Env = map[string][]string{}
	}
	r.Config.Env[service] = append(r.Config.Env[service], pair)
}

// start starts the servers, the proxies and the system.
func (r *Run) start() {
	r.ensureAll()
	r.ToKafka = r.Shared.Proxied(r)
	logs := r.Dir + "/logs"
	if err := os.MkdirAll(logs, 0o755); err != nil {
		r.Fatal(err)
	}
	if r.Row.SmallDisk {
		if err := servers.MountSmall(r, servers.DataDir(logs, redisName), smallDisk); err != nil {
			r.Skip(err.Error())
		}
	}
	r.Redis = servers.StartRedis(r, logs, redisName)
	direct := system.Stores{
		Redis: r.Redis.URL(), Kafka: strings.Split(r.Shared.Address(r, r.Row.server(deps.Kafka)), ","), TopicPrefix: fmt.Sprintf("f%x-", r.Random.Uint64()),
		Postgres: servers.Database(r, r.Shared.Address(r, deps.Postgres)),
	}
	r.Config = system.Config{
		Programs: r.programs, Services: r.before.Dir, TLS: r.Row.TLS, Dir: logs, Stores: direct, Replicas: r.Row.replicas(), Flags: r.flags(),
	}
	if r.Row.Proxied {
		r.ToRedis = servers.NewProxy(r, "redis", "", r.Redis.Address)
		r.ToPg = servers.NewProxy(r, "postgres", "", servers.HostOf(direct.Postgres))
		r.Config.Way = func(system.Kind, int) system.Stores {
			proxied := r.Config.Stores
			proxied.Redis = servers.Through(r, proxied.Redis, r.ToRedis.Address)
			proxied.Postgres = servers.Through(r, proxied.Postgres, r.ToPg.Address)
			proxied.Kafka = []string{r.ToKafka.Address}
			return proxied
		}
	}
	for _, kind := range system.Kinds() {
		for i := range r.Row.replicas() {
			for key, value := range r.env {
				r.SetEnv(fmt.Sprintf("%s-%d", kind, i), key+"="+value)
			}
		}
	}
	if r.Row.Prepare != nil {
		r.Row.Prepare(r)
	}
	r.System = system.Start(r, r.Config)
	r.People = load.Invite(r, r.System, r.Seed)
	if r.Row.Likes {
		r.Readers = load.Admit(r, r.System, r.Seed, r.Row.ColdIn...)
		r.admitted = time.Now()
	}
	r.Crowd = load.Gather(r, r.System.Gateways, "main", voters, r.Seed)
}

// flags are those of the row after those that every run has: a cap that the crowd reaches, and the times that matter as they
// come.
func (r *Run) flags() map[system.Kind][]string {
	flags := map[system.Kind][]string{
		system.Ticket: {"--ticket-cap=400", "--ticket-interval=1s", "--ticket-lock-ttl=500ms", "--redis-timeout=1s"},
		system.Vote:   {"--redis-timeout=1s"},
		system.Query:  {"--redis-timeout=1s"},
		system.Blog: {
			"--redis-timeout=1s", "--likes-voter-rate=0", "--likes-address-rate=0",
			"--blog-limits-logins-per-account=1000", "--blog-limits-logins-per-address=1000",
		},
	}
	for kind, more := range r.Row.Flags {
		flags[kind] = append(flags[kind], more...)
	}
	return flags
}

// happen lets the fault happen under load, and waits until votes flow again.
func (r *Run) happen() {
	r.AwaitMore(warm)
	r.awaitLikes()
	r.Hold(r.Between(0, faultWindow))
	r.Strike()
	r.Row.Happen(r)
	if r.healAt.IsZero() {
		r.Healed()
	}
	if !r.Row.Closed && !r.Row.Mortal {
		r.AwaitMore(warm)
		r.awaitLikes()
	}
	r.stoppedAt = time.Now()
	r.Crowd.Stop()
	r.People.Stop()
	if r.Readers != nil {
		r.Readers.Stop()
	}
}

// awaitLikes waits for some likes, where anybody likes anything.
func (r *Run) awaitLikes() {
	if r.Readers != nil {
		r.Readers.AwaitMore(r, warmLikes, flowPatience)
	}
}

// settle waits until every vote with a key is resolved and nothing is on its way, and returns how long that took since the heal.
func (r *Run) settle(ctx context.Context) (time.Duration, error) {
	patience := convergence
	if r.Row.Closed {
		patience = closedPatience // a vote that is not in by then is refused for ever
	}
	if left := r.Crowd.Resolve(ctx, patience); left > 0 && !r.Row.Closed {
		r.Errorf("%d votes with a key cannot be resolved", left)
	}
	if left := r.People.Resolve(ctx, convergence); left > 0 {
		r.Errorf("%d votes and retractions of people cannot be resolved", left)
	}
	if r.Readers != nil {
		if left := r.Readers.Resolve(ctx, convergence); left > 0 {
			r.Errorf("%d likes and unlikes cannot be resolved", left)
		}
	}
	deadline := time.Now().Add(convergence)
	for {
		err := r.System.AtRest(ctx)
		if err == nil {
			return time.Since(r.healAt), nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return time.Since(r.healAt), fmt.Errorf("not converged after %v: %w", time.Since(r.healAt).Round(time.Second), err)
		}
		r.Hold(20 * time.Millisecond)
	}
}
