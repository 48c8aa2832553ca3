package ticketservice

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/service"
	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/libs/ticket"
	ticketv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ticket/v1"
)

func TestKeyFileIsNeeded(t *testing.T) {
	host := service.Host{Tracer: tracenoop.Tracer{}, Log: discard(), Health: service.NewHealth(), Meter: noop.Meter{}}
	missing := filepath.Join(t.TempDir(), "missing")
	for _, file := range []string{"", missing} {
		cfg := DefaultConfig()
		cfg.Ticket.Listen, cfg.Ticket.KeyFile = "127.0.0.1:0", file
		_, err := New(t.Context(), cfg, host)
		var keyed *config.KeyError
		if !errors.As(err, &keyed) || keyed.Key != "ticket.key-file" || !strings.Contains(err.Error(), file) {
			t.Errorf("key file %q: %v", file, err)
		}
	}
	cfg := DefaultConfig()
	cfg.Ticket.Listen, cfg.Dev.Dev = "127.0.0.1:0", true
	s, err := New(t.Context(), cfg, host)
	if err != nil {
		t.Fatalf("in development mode: %v", err)
	}
	if err := errors.Join(s.rpc.Close(), s.close()); err != nil {
		t.Error(err)
	}
}

func TestS4S12S13S14FromMintToPostgres(t *testing.T) {
	w := newTown(t)
	cfg := w.cfg
	cfg.Ticket.Interval, cfg.Ticket.Cap = 400*time.Millisecond, 50
	r := w.start(cfg)
	first := r.ticket(t, "")
	keys, err := ticket.LoadKeys(cfg.Ticket.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := keys.Verify(first.GetValue())
	if err != nil || claims.Version() != first.GetVersion() || claims.Ballot != "main" || first.GetRemainingUses() != 50 {
		t.Fatalf("%+v says %+v, %v", first, claims, err)
	}
	if d := first.GetExpiresAt().AsTime().Sub(first.GetCreatedAt().AsTime()); d != 400*time.Millisecond {
		t.Errorf("lasts %v", d)
	}
	// The configuration of the others, which are of 2 s.
	if left := r.ticket(t, "cast").GetRemainingUses(); left != 100 {
		t.Errorf("cast has %d uses", left)
	}
	if left := r.ticket(t, "tiny").GetRemainingUses(); left != 2147483647 {
		t.Errorf("tiny has %d uses", left)
	}
	// Every ticket that was handed out is in both tables, with its window.
	seen := map[string]*ticketv1.Ticket{}
	for len(seen) < 4 {
		now := r.ticket(t, "main")
		seen[now.GetVersion()] = now
	}
	for version, handed := range seen {
		testenv.Eventually(t, 10*time.Second, func() error {
			for _, table := range []string{"tickets", "ticket_history"} {
				var value string
				var created, expires time.Time
				var uses int64
				err := w.pool.QueryRow(t.Context(), "SELECT value, created_at, expires_at, cap FROM "+table+
					" WHERE ballot = 'main' AND version = $1", version).Scan(&value, &created, &expires, &uses)
				if err != nil {
					return fmt.Errorf("%s in %s: %w", version, table, err)
				}
				if value != handed.GetValue() || !created.Equal(handed.GetCreatedAt().AsTime()) ||
					!expires.Equal(handed.GetExpiresAt().AsTime()) || uses != 50 {
					t.Errorf("%s in %s: %s, %v to %v, cap %d", version, table, value, created, expires, uses)
				}
			}
			return nil
		})
	}
	// Its windows adjoin: each begins when the one before ends.
	var gaps int
	err = w.pool.QueryRow(t.Context(), `
		SELECT count(*) FROM (SELECT created_at - lag(expires_at) OVER (ORDER BY created_at) AS gap
			FROM ticket_history WHERE ballot = 'main') AS windows WHERE gap <> interval '0'`).Scan(&gaps)
	if err != nil || gaps > 0 {
		t.Errorf("%d windows do not adjoin, %v", gaps, err)
	}
}

func TestReadiness(t *testing.T) {
	w, redis := newShutTown(t)
	r := w.start(w.cfg)
	testenv.Eventually(t, 10*time.Second, func() error {
		if report := r.health.Report(t.Context()); !report.Ready {
			return fmt.Errorf("%v", report.Checks)
		}
		return nil
	})
	// Redis without an epoch in it is no condition, an epoch is one.
	for _, change := range []struct {
		sql   string
		ready bool
	}{
		{"UPDATE ledger_epoch SET held = true", true},
		{`WITH waits AS (INSERT INTO participants (id, service, epoch, stopped, lease_until)
			SELECT 'another', 'test', epoch + 10, false, now() + interval '1 hour' FROM ledger_epoch)
		  UPDATE ledger_epoch SET state = 'ending', mode = 'redis', epoch = epoch + 10, replicated = true`, false},
	} {
		if _, err := w.pool.Exec(t.Context(), change.sql); err != nil {
			t.Fatal(err)
		}
		if change.ready {
			w.number(epoch.Postgres)
			redis.close()
		}
		testenv.Eventually(t, 10*time.Second, func() error {
			if report := r.health.Report(t.Context()); report.Ready != change.ready {
				return fmt.Errorf("after %s: %v", change.sql, report.Checks)
			}
			return nil
		})
	}
}

// Redis loses everything: the epoch changes, and this service follows.
func TestFollowsAChangeOfEpoch(t *testing.T) {
	w := newTown(t)
	r := w.start(w.cfg)
	before := r.ticket(t, "main")
	var ns string
	if err := w.pool.QueryRow(t.Context(), "SELECT ns FROM ledger_epoch").Scan(&ns); err != nil {
		t.Fatal(err)
	}
	if err := redisledger.New(w.rdb).Unlink(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	lost := time.Now()
	w.changer.Kick()
	testenv.Eventually(t, 15*time.Second, func() error {
		if now := r.ticket(t, "main"); epochOf(now) == epochOf(before) {
			return errors.New("still the old epoch: " + now.GetVersion())
		}
		return nil
	})
	t.Logf("first ticket of the new epoch after %v", time.Since(lost))
}

func epochOf(t *ticketv1.Ticket) string {
	number, _, _ := strings.Cut(t.GetVersion(), ".")
	return number
}

// Redis stops answering, though not its connections, and comes back: there are tickets again soon after each change of
// epoch, in the ledger that is on.
func TestF25F10TicketsWhileRedisIsAway(t *testing.T) {
	w, redis := newShutTown(t)
	w.cfg.Redis.Timeout = 20 * time.Second // nothing may depend on that
	r := w.start(w.cfg)
	r.ticket(t, "main")

	redis.close()
	w.follows(r, w.number(epoch.Postgres))
	if _, err := w.pool.Exec(t.Context(), "UPDATE ledger_epoch SET stay = '0'"); err != nil {
		t.Fatal(err)
	}
	redis.open()
	w.follows(r, w.number(epoch.Redis))
}

// follows waits for a ticket of an epoch that has just begun.
func (w *town) follows(r *replica, number int64) {
	w.t.Helper()
	opened := time.Now()
	want := strconv.FormatInt(number, 10)
	testenv.Eventually(w.t, 15*time.Second, func() error {
		if now := r.ticket(w.t, "main"); epochOf(now) != want {
			return errors.New("still of another epoch: " + now.GetVersion())
		}
		return nil
	})
	took := time.Since(opened)
	w.t.Logf("first ticket %v after the beginning of the epoch", took)
	if took > 10*time.Second {
		w.t.Errorf("no ticket for %v", took)
	}
}

func TestS17CleanStopReleasesTheLock(t *testing.T) {
	w := newTown(t)
	r := w.start(w.cfg)
	r.ticket(t, "main")
	if ttl, err := w.rdb.PTTL(t.Context(), w.cfg.Ticket.LockKey).Result(); err != nil || ttl <= 0 || ttl > w.cfg.Ticket.LockTTL {
		t.Errorf("the lock lasts %v, %v", ttl, err)
	}
	r.stop()
	if n, err := w.rdb.Exists(t.Context(), w.cfg.Ticket.LockKey).Result(); err != nil || n != 0 {
		t.Errorf("the lock is still there: %d, %v", n, err)
	}
	if _, err := r.client.GetTicket(t.Context(), &ticketv1.GetTicketRequest{}); err == nil {
		t.Error("still answers")
	}
}
