package history

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/testenv"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func openPool(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgledger.Open(t.Context(), config.Postgres{URL: url, PoolSize: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func newDatabase(t *testing.T) *pgxpool.Pool {
	t.Helper()
	url := testenv.Postgres(t)
	if err := pgledger.Migrate(t.Context(), url, discard()); err != nil {
		t.Fatal(err)
	}
	return openPool(t, url)
}

// start runs a writer; stop ends it and waits.
func start(t *testing.T, pool *pgxpool.Pool, log *slog.Logger) (w *Writer, stop func()) {
	t.Helper()
	w = NewWriter(pool, log)
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		if err := w.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	stop = func() {
		cancel()
		done.Wait()
	}
	t.Cleanup(stop)
	return w, stop
}

func newTicket(n int) Ticket {
	created := time.Date(2026, 11, 21, 20, 0, n, 0, time.UTC)
	return Ticket{Ballot: "main", Ticket: redisledger.Ticket{
		Value: fmt.Sprintf("value-%d", n), Version: fmt.Sprintf("1.%d.1", n), Cap: 100, Left: 100,
		CreatedAt: created, ExpiresAt: created.Add(2 * time.Second),
	}}
}

// row is a row of either table.
type row struct {
	Ballot, Version string
	Value           *string
	Cap             *int64
	CreatedAt       *time.Time
	ExpiresAt       *time.Time
}

func rows(t *testing.T, pool *pgxpool.Pool, table string) []row {
	t.Helper()
	found, err := pool.Query(t.Context(),
		"SELECT ballot, version, value, cap, created_at, expires_at FROM "+table+" ORDER BY ballot, created_at")
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(found, pgx.RowToStructByPos[row])
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func (t Ticket) row() row {
	r := row{t.Ballot, t.Version, &t.Value, &t.Cap, &t.CreatedAt, &t.ExpiresAt}
	if t.Cap == redisledger.NoCap {
		r.Cap = nil
	}
	return r
}

func wantRows(t *testing.T, pool *pgxpool.Pool, want ...row) {
	t.Helper()
	for _, table := range []string{"tickets", "ticket_history"} {
		sameTime := cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })
		if diff := cmp.Diff(want, rows(t, pool, table), sameTime); diff != "" {
			t.Errorf("%s: %s", table, diff)
		}
	}
}

func TestS14S20TicketsAndHistory(t *testing.T) {
	pool := newDatabase(t)
	// The events were quicker with the second ticket.
	if _, err := pool.Exec(t.Context(), "INSERT INTO tickets (ballot, version, used) VALUES ('main', '1.2.1', 7)"); err != nil {
		t.Fatal(err)
	}
	w, stop := start(t, pool, discard())
	first, second := newTicket(1), newTicket(2)
	second.Cap = redisledger.NoCap
	for _, ticket := range []Ticket{second, first, first} { // in any order, and twice
		w.Add(t.Context(), ticket)
	}
	stop() // what waits is written
	wantRows(t, pool, first.row(), second.row())
	var used int64
	if err := pool.QueryRow(t.Context(), "SELECT used FROM tickets WHERE version = '1.2.1'").Scan(&used); err != nil || used != 7 {
		t.Errorf("used is %d, %v", used, err)
	}
}

func TestWaitsForPostgres(t *testing.T) {
	url := testenv.Postgres(t)
	pool := openPool(t, url)
	w, _ := start(t, pool, discard())
	w.Add(t.Context(), newTicket(1))
	if err := pgledger.Migrate(t.Context(), url, discard()); err != nil { // until now there are no tables
		t.Fatal(err)
	}
	w.Add(t.Context(), newTicket(2))
	testenv.Eventually(t, 10*time.Second, func() error {
		if n := len(rows(t, pool, "ticket_history")); n != 2 {
			return fmt.Errorf("%d tickets", n)
		}
		return nil
	})
	wantRows(t, pool, newTicket(1).row(), newTicket(2).row())
}

// Nobody waits for Postgres, and the queue has a bound; what finds no room is told.
func TestAddNeverWaits(t *testing.T) {
	var log bytes.Buffer
	pool := openPool(t, "postgres://127.0.0.1:1/nowhere?connect_timeout=1")
	w := NewWriter(pool, slog.New(slog.NewTextHandler(&log, nil)))
	before := time.Now()
	for n := range maxWaiting + 1 {
		w.Add(t.Context(), newTicket(n))
	}
	if took := time.Since(before); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
	if got := log.String(); strings.Count(got, "missing in the history") != 1 || !strings.Contains(got, "version=1.10000.1") {
		t.Errorf("log: %s", got)
	}
}

// The stop of the service does not wait for a Postgres that is away.
func TestStopIsBounded(t *testing.T) {
	pool := openPool(t, "postgres://127.0.0.1:1/nowhere?connect_timeout=1")
	w, stop := start(t, pool, discard())
	w.Add(t.Context(), newTicket(1))
	before := time.Now()
	stop()
	if took := time.Since(before); took > flushTimeout+2*time.Second {
		t.Errorf("took %v", took)
	}
}

// Events and history lock the rows of tickets in the same order.
func TestManyTicketsAtOnce(t *testing.T) {
	pool := newDatabase(t)
	w, stop := start(t, pool, discard())
	other, stopOther := start(t, pool, discard())
	var all sync.WaitGroup
	for i, writer := range []*Writer{w, other} {
		all.Go(func() {
			for n := range 500 {
				if i == 1 {
					n = 499 - n
				}
				writer.Add(t.Context(), newTicket(n))
			}
		})
	}
	all.Wait()
	stop()
	stopOther()
	for _, table := range []string{"tickets", "ticket_history"} {
		if n := len(rows(t, pool, table)); n != 500 {
			t.Error(errors.New(table), n)
		}
	}
}
