package epochs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/testenv"
)

// table is a database with the tables, and the command on it. Changes are made by the tests: there is no vote-service.
type table struct {
	*testing.T
	url  string
	pool *pgxpool.Pool
}

func newTable(t *testing.T) *table {
	t.Helper()
	t.Parallel()
	w := &table{T: t, url: testenv.Postgres(t)}
	if err := pgledger.Migrate(t.Context(), w.url, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.pool, err = pgledger.Open(t.Context(), config.Postgres{URL: w.url, PoolSize: 2}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.pool.Close)
	return w
}

func (w *table) exec(sql string) {
	w.Helper()
	if _, err := w.pool.Exec(w.Context(), sql); err != nil {
		w.Fatal(err)
	}
}

func (w *table) run(args ...string) (string, error) {
	var out bytes.Buffer
	cmd := Command()
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(append(args, "--postgres-url="+w.url, "--data-dir="+w.TempDir()))
	err := cmd.ExecuteContext(w.Context())
	return out.String(), err
}

// open begins an epoch with a live participant, a dead one and a persister.
func (w *table) open() {
	w.Helper()
	w.exec(`INSERT INTO ledger_epoch (epoch, mode, state, ns, replicated, reason) VALUES (5, 'redis', 'open', 'ns', false, 'loaded from Postgres');
		INSERT INTO ballot_ns VALUES (5, 'main');
		INSERT INTO participants (id, service, epoch, stopped, lease_until, redis_away_since) VALUES
			('one', 'vote-service', 5, false, now() + interval '40 seconds', now() - interval '3 seconds'),
			('two', 'query-service', 5, false, now() - interval '1 minute', NULL);
		INSERT INTO persisters VALUES ('three', 2, now() + interval '1 minute')`)
}

func TestShow(t *testing.T) {
	w := newTable(t)
	if _, err := w.run("show"); err == nil || !strings.Contains(err.Error(), "no epoch was ever opened") {
		t.Errorf("before there is one: %v", err)
	}
	w.open()
	out, err := w.run("show")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"epoch 5: open in Redis since ", "loaded from Postgres", "vote-service one: epoch 5, lease for ",
		"query-service two: epoch 5, lease over for 1m", ", without Redis for ", "three: reads format 2, alive", "main: open, in this epoch", "tiny: open, not in this epoch yet",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	out, err = w.run("show", "--json")
	var o epoch.Overview
	if err := errors.Join(err, json.Unmarshal([]byte(out), &o)); err != nil || o.Epoch != 5 || len(o.Participants) != 2 || o.Ballots[1].Here == o.Ballots[2].Here {
		t.Errorf("%+v, %v", o, err)
	}
}

// A wish that is not done in time fails and names whom it waits for; it stands all the same.
func TestEndNamesWhoHoldsItUp(t *testing.T) {
	w := newTable(t)
	w.open()
	_, err := w.run("end", "--reason=drill", "--wait=200ms")
	if err == nil || !strings.Contains(err.Error(), "vote-service one") || strings.Contains(err.Error(), "two") {
		t.Errorf("end: %v", err)
	}
	out, err := w.run("show")
	if err != nil || !strings.Contains(out, "epoch 5: ending in Redis") || !strings.Contains(out, "drill") || !strings.Contains(out, "the change waits for it") {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err := w.run("end"); !errors.Is(err, epoch.ErrNotEnded) {
		t.Errorf("a second end: %v", err)
	}
	var keyed *config.KeyError
	if _, err := w.run("end", "--reason= "); !errors.As(err, &keyed) {
		t.Errorf("without a reason: %v", err)
	}
}

func TestHoldAndReleaseWaitForTheChange(t *testing.T) {
	w := newTable(t)
	w.open()
	// What a vote-service does.
	change := func(mode, held string) {
		testenv.Eventually(t, 10*time.Second, func() error {
			tag, err := w.pool.Exec(context.WithoutCancel(t.Context()),
				"UPDATE ledger_epoch SET epoch = epoch + 1, mode = '"+mode+"' WHERE held = "+held)
			if err == nil && tag.RowsAffected() == 0 {
				err = errors.New("no wish yet")
			}
			return err
		})
	}
	for _, step := range []struct{ command, mode, held, want string }{
		{"hold", "pg", "true", "epoch 6: open in Postgres"}, {"release", "redis", "false", "epoch 7: open in Redis"},
	} {
		done := make(chan struct{})
		go func() { defer close(done); change(step.mode, step.held) }()
		out, err := w.run(step.command)
		if err != nil || !strings.Contains(out, step.want) || strings.Contains(out, "held in Postgres") != (step.held == "true") {
			t.Errorf("%s: %v\n%s", step.command, err, out)
		}
		<-done
	}
	if out, err := w.run("hold", "--wait=0"); err != nil || !strings.Contains(out, "held in Postgres by an operator") {
		t.Errorf("hold without a wait: %v\n%s", err, out)
	}
}
