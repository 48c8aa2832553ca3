package ballots

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/libs/ticket"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func newDatabase(t *testing.T) *pgxpool.Pool {
	t.Helper()
	url := testenv.Postgres(t)
	if err := pgledger.Migrate(t.Context(), url, discard()); err != nil {
		t.Fatal(err)
	}
	return openPool(t, url)
}

func openPool(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgledger.Open(t.Context(), config.Postgres{URL: url, PoolSize: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// start runs a directory; stop ends it and waits.
func start(t *testing.T, pool *pgxpool.Pool, rules ...Rule) (d *Directory, stop func()) {
	t.Helper()
	d = NewDirectory(pool, rules, discard())
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		if err := d.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	stop = func() {
		cancel()
		done.Wait()
	}
	t.Cleanup(stop)
	return d, stop
}

func eventually(t *testing.T, d *Directory, want Ballot) {
	t.Helper()
	testenv.Eventually(t, 10*time.Second, func() error {
		got, ok := d.Get(want.Name)
		if diff := cmp.Diff(want, got); !ok || diff != "" {
			return errors.New("not yet: " + diff)
		}
		return nil
	})
}

func execute(t *testing.T, pool *pgxpool.Pool, sql string) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// opened is a ballot with tickets, in the form that its name has from the start.
func opened(name string, open bool, limit int64, interval time.Duration, end time.Time) Ballot {
	forms := map[string]ticket.Form{"cast": ticket.HMAC, "tiny": ticket.UUID}
	form, plain := forms[name]
	if !plain {
		form = ticket.Signed
	}
	return Ballot{Name: name, Open: open, Cap: limit, Interval: interval, Form: form, ClosesAt: end}
}

func TestS19ConfigurationWinsAtEachStart(t *testing.T) {
	pool := newDatabase(t)
	rules := []Rule{
		{"main", 50, time.Second}, {"cast", redisledger.NoCap, 3 * time.Second}, {"tiny", 7, 250 * time.Millisecond},
	}
	d, stop := start(t, pool, rules...)
	eventually(t, d, opened("main", true, 50, time.Second, time.Time{}))
	want := Set{
		"main": opened("main", true, 50, time.Second, time.Time{}),
		"cast": opened("cast", true, redisledger.NoCap, 3*time.Second, time.Time{}),
		"tiny": opened("tiny", true, 7, 250*time.Millisecond, time.Time{}),
	}
	if diff := cmp.Diff(want, *d.Set()); diff != "" {
		t.Error(diff)
	}
	// A change while it runs is followed, and undone by the next start.
	execute(t, pool, "UPDATE ballots SET ticket_cap = 9 WHERE ballot = 'main'")
	eventually(t, d, opened("main", true, 9, time.Second, time.Time{}))
	stop()
	d, _ = start(t, pool, rules...)
	testenv.Eventually(t, 10*time.Second, func() error { return d.Ready(t.Context()) })
	if diff := cmp.Diff(want, *d.Set()); diff != "" {
		t.Error(diff)
	}
}

func TestFollowsTheTable(t *testing.T) {
	pool := newDatabase(t)
	d, _ := start(t, pool)
	eventually(t, d, opened("main", true, 1000, 2*time.Second, time.Time{}))
	execute(t, pool, `INSERT INTO ballots (ballot, state, ticket_interval_ms) VALUES ('final', 'draft', 500)`)
	eventually(t, d, opened("final", false, redisledger.NoCap, 500*time.Millisecond, time.Time{}))
	set := d.Set()
	execute(t, pool, `UPDATE ballots SET state = 'open' WHERE ballot = 'final'`)
	eventually(t, d, opened("final", true, redisledger.NoCap, 500*time.Millisecond, time.Time{}))
	if d.Set() == set || (*set)["final"].Open {
		t.Error("the set was changed in place")
	}
	execute(t, pool, `UPDATE ballots SET closes_at = '2026-12-24 18:00:00+00' WHERE ballot = 'final'`)
	end := time.Date(2026, 12, 24, 18, 0, 0, 0, time.UTC)
	eventually(t, d, opened("final", true, redisledger.NoCap, 500*time.Millisecond, end))
	if b, _ := d.Get("final"); !b.Closed(end) || b.Closed(end.Add(-1)) || (Ballot{}).Closed(end) {
		t.Error("a ballot closes at its end")
	}
	set = d.Set()
	if err := d.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d.Set() != set {
		t.Error("another set, and nothing has changed")
	}
}

// Who asks has the table as it is, and not as it was up to a second ago.
func TestWhoAsksHasNoOldNews(t *testing.T) {
	pool := newDatabase(t)
	d, stop := start(t, pool)
	eventually(t, d, opened("main", true, 1000, 2*time.Second, time.Time{}))
	stop()
	if _, ok, err := d.Ask(t.Context(), "final"); ok || err != nil {
		t.Error(ok, err)
	}
	execute(t, pool, `INSERT INTO ballots (ballot, state, ticket_interval_ms) VALUES ('final', 'open', 500)`)
	if b, ok, err := d.Ask(t.Context(), "final"); !ok || err != nil || b != opened("final", true, redisledger.NoCap, 500*time.Millisecond, time.Time{}) {
		t.Error(b, ok, err)
	}
	pool.Close()
	if _, _, err := d.Ask(t.Context(), "final"); err == nil {
		t.Error("Postgres is away, and nobody says so")
	}
}

func TestATicketlessBallotHasNoTickets(t *testing.T) {
	pool := newDatabase(t)
	d, _ := start(t, pool)
	execute(t, pool, `INSERT INTO ballots (ballot, ticketless, votes_per_voter, ticket_interval_ms) VALUES ('acme.likes', true, 1, 2000)`)
	want := opened("acme.likes", false, redisledger.NoCap, 2*time.Second, time.Time{})
	want.Ticketless = true
	eventually(t, d, want)
}

func TestKeepsWhatItKnowsWithoutPostgres(t *testing.T) {
	pool := newDatabase(t)
	d, _ := start(t, pool)
	eventually(t, d, opened("main", true, 1000, 2*time.Second, time.Time{}))
	pool.Close()
	if err := d.refresh(t.Context()); err == nil {
		t.Fatal("Postgres still answers")
	}
	if _, ok := d.Get("main"); !ok || d.Ready(t.Context()) != nil {
		t.Error("forgot the ballots")
	}
}

func TestWaitsForTheTable(t *testing.T) {
	url := testenv.Postgres(t)
	d, _ := start(t, openPool(t, url), Rule{"main", 50, time.Second})
	if _, ok := d.Get("main"); ok || d.Ready(t.Context()) == nil {
		t.Error("knows a table that is not there")
	}
	if err := pgledger.Migrate(t.Context(), url, discard()); err != nil {
		t.Fatal(err)
	}
	eventually(t, d, opened("main", true, 50, time.Second, time.Time{}))
}
