package rows

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/littlevote/littlevote/libs/embedded"
	"github.com/littlevote/littlevote/tools/internal/deps"
	"github.com/littlevote/littlevote/tools/internal/process"
	"github.com/littlevote/littlevote/tools/internal/scope"
	"github.com/littlevote/littlevote/tools/internal/system"
)

func moveRows() []Row {
	return []Row{{
		Name: "X11", Kind: Change, Title: "the ledger moves to another Postgres server (S72)", Silence: degraded, Flags: longLease(),
		Sees: "nothing", Happen: moveLedger,
	}}
}

// moveLedger does what `littlevote dbmove --help` tells an operator to do, while Kafka dies in between: what goes to Postgres
// then never was in the log.
func moveLedger(r *Run) {
	target, err := embedded.Postgres(r.Context(), filepath.Join(r.Dir, "target"), embedded.Throwaway())
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = target.Close() })
	from, to := r.Config.Stores.Postgres, target.URL()
	r.littlevote("migrate", "--postgres-url", to)
	step := func(name string, more ...string) string {
		return r.littlevote(append([]string{"dbmove", name, "--from", from, "--to", to}, more...)...)
	}
	step("start")
	second := r.secondPersister(to)
	r.AwaitMore(warm)
	r.Shared.Kill(r, deps.Kafka)
	r.AwaitMore(warm)
	r.Shared.Ensure(r, deps.Kafka)
	scope.Eventually(r, convergence, func() error {
		if said := step("follow", "--once"); !strings.Contains(said, "behind, 0 batches carried, 0 still") {
			return errors.New(said)
		}
		return nil
	})
	step("compare")
	for _, s := range r.System.Services(system.Persister) {
		s.Stop(r)
	}
	step("follow", "--once")
	step("switch")
	second.Stop(r)
	r.System.MovePostgres(r, to)
	r.Config.Stores.Postgres = to
	for _, kind := range []system.Kind{system.Persister, system.Ticket, system.Vote, system.Query} {
		for _, s := range r.System.Services(kind) {
			if kind != system.Persister {
				s.Stop(r)
			}
			r.Restart(s)
			r.AwaitMore(10)
		}
	}
}

// secondPersister is one that applies the log to another database.
func (r *Run) secondPersister(to string) *process.Process {
	address, admin := process.Address(r), process.Address(r)
	return process.Start(r, process.Command{
		Name: "second-persister", Program: filepath.Join(r.programs, string(system.Persister)), Dir: r.Config.Dir,
		Args: []string{"--persister-listen=" + address, "--admin-listen=" + admin, "--persister-group=move", "--participant-heartbeat=100ms"},
		Env: []string{
			"LITTLEVOTE_KAFKA_BROKERS=" + strings.Join(r.Config.Stores.Kafka, ","), "LITTLEVOTE_KAFKA_TOPIC_PREFIX=" + r.Config.Stores.TopicPrefix,
			"LITTLEVOTE_POSTGRES_URL=" + to, "LITTLEVOTE_POSTGRES_POOL_SIZE=5",
		},
	})
}

// littlevote runs the operator's command and returns what it said.
func (r *Run) littlevote(args ...string) string {
	began := time.Now()
	output, err := exec.CommandContext(r.Context(), filepath.Join(r.programs, "littlevote"), args...).CombinedOutput()
	if err != nil {
		r.Fatalf("littlevote %s: %v: %s", strings.Join(args[:2], " "), err, output)
	}
	r.Logf("littlevote %s took %v: %s", strings.Join(args[:2], " "), time.Since(began).Round(time.Millisecond), output)
	return string(output)
}
