package rows

import (
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

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
	from := r.Config.Stores.Postgres
	to, both := r.moveTarget(from)
	r.littlevote("migrate", "--postgres-url", to)
	step := func(name string, more ...string) string {
		return r.littlevote(append([]string{"dbmove", name, "--from", from, "--to", to}, more...)...)
	}
	step("start")
	second := r.secondPersister(to + "&default_transaction_read_only=off")
	r.System.MovePostgres(r, both)
	for _, kind := range []system.Kind{system.Ticket, system.Vote, system.Query, system.Persister} {
		for _, s := range r.System.Services(kind) {
			s.Stop(r)
			r.Restart(s)
			r.AwaitMore(10)
		}
	}
	r.Shared.Kill(r, deps.Kafka)
	r.AwaitMore(warm)
	r.Shared.Ensure(r, deps.Kafka)
	scope.Eventually(r, 2*convergence, func() error { // what never was in the log is carried after 10 s only, and Kafka may be long in coming back
		if said := step("follow", "--once"); !strings.Contains(said, "behind, 0 batches carried, 0 still") {
			return errors.New(said)
		}
		return nil
	})
	step("compare")
	second.Stop(r)
	step("switch")
	r.AwaitMore(warm)
	r.System.MovePostgres(r, to)
	r.Config.Stores.Postgres = to
}

// moveTarget starts another Postgres, with a database of the same name, user and password, and returns its URL and that of both.
func (r *Run) moveTarget(from string) (to, both string) {
	server, err := embedded.Postgres(r.Context(), filepath.Join(r.Dir, "target"), embedded.Throwaway())
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = server.Close() })
	source, err := url.Parse(from)
	if err != nil {
		r.Fatal(err)
	}
	target, err := url.Parse(server.URL())
	if err != nil {
		r.Fatal(err)
	}
	admin, err := pgx.Connect(r.Context(), server.URL())
	if err != nil {
		r.Fatal(err)
	}
	defer func() { _ = admin.Close(r.Context()) }()
	password, _ := source.User.Password()
	user, database := source.User.Username(), strings.TrimPrefix(source.Path, "/")
	for _, statement := range []string{
		fmt.Sprintf("DO $$ BEGIN CREATE ROLE %[1]s; EXCEPTION WHEN duplicate_object THEN END $$", user),
		fmt.Sprintf("ALTER ROLE %s LOGIN SUPERUSER PASSWORD '%s'", user, password),
		fmt.Sprintf("CREATE DATABASE %s OWNER %s", pgx.Identifier{database}.Sanitize(), user),
	} {
		if _, err := admin.Exec(r.Context(), statement); err != nil {
			r.Fatal(err)
		}
	}
	moved := *source
	moved.Host = target.Host
	source.Host += "," + target.Host
	return moved.String(), source.String()
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
