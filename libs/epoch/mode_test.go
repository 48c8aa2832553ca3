package epoch_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/testenv"
)

// rest ends the least time in Postgres.
func (w *world) rest() {
	w.exec("UPDATE ledger_epoch SET opened_at = now() - interval '1 hour'")
}

func TestRedisAwayGoesToPostgresAndBack(t *testing.T) {
	w := newWorld(t)
	w.changer(false)
	p, _ := w.participant(w.pool, time.Minute)
	first := w.awaitEpoch(p, 1)
	w.exec("INSERT INTO user_votes VALUES ('main', 'A', 7, 9, now())")
	w.redis.shut.Store(true)
	second := w.awaitEpoch(p, 2)
	if second.Mode != epoch.Postgres || p.Live(first) {
		t.Fatalf("%+v, the old one live: %v", second, p.Live(first))
	}
	var reason string
	if err := w.pool.QueryRow(t.Context(), "SELECT reason FROM ledger_epoch").Scan(&reason); err != nil {
		t.Fatal(err)
	}
	for _, why := range []string{p.Degraded(), reason} {
		if !strings.Contains(why, errShut.Error()) {
			t.Errorf("%q does not say what is wrong with Redis", why)
		}
	}
	if p.Ready(t.Context()) != nil {
		t.Fatal("an epoch in Postgres is not ready")
	}
	var admissions int64
	if err := w.pool.QueryRow(t.Context(), "SELECT admissions FROM pg_ballots WHERE epoch = $1 AND ballot = 'main'",
		second.Epoch).Scan(&admissions); err != nil || admissions != 9 {
		t.Fatalf("admissions %d, %v", admissions, err)
	}

	w.redis.shut.Store(false)
	testenv.Eventually(t, 5*time.Second, func() error {
		if !p.RedisWell() {
			return errors.New("Redis is not seen yet")
		}
		return nil
	})
	if l, _ := p.Current(); l != second {
		t.Fatalf("%+v right after Redis is back: an epoch in Postgres lasts a while", l)
	}
	w.rest()
	third := w.awaitEpoch(p, 3)
	if third.Mode != epoch.Redis {
		t.Fatalf("%+v", third)
	}
	counts, _, err := w.ledger.Tally(t.Context(), third.Fence(), "main", []string{"A"})
	if err != nil || counts[0].Votes != 7 {
		t.Fatalf("%v %v", counts, err)
	}
	testenv.Eventually(t, 5*time.Second, func() error {
		if err := w.ledger.Alive(t.Context(), first.Fence(), "main"); !errors.Is(err, redisledger.ErrWrongEpoch) {
			return fmt.Errorf("the keys of the epoch before are still there: %w", err)
		}
		return nil
	})
}

// H12: a replica that came during the epoch may be promoted while the old primary still serves somebody.
func TestReplicaThatComesLaterClosesTheShortWay(t *testing.T) {
	w := newWorld(t)
	w.redis.alone.Store(true)
	w.changer(false)
	p, _ := w.participant(w.pool, time.Minute)
	first := w.awaitEpoch(p, 1)
	w.redis.joined.Store(true)
	testenv.Eventually(t, 10*time.Second, func() error {
		if !w.row().Replicated {
			return errors.New("not noted")
		}
		return nil
	})
	w.exec("INSERT INTO participants (id, service, epoch, stopped, lease_until) VALUES ('dead', 'test', $1, false, now() + interval '700 milliseconds')",
		first.Epoch)
	started := time.Now()
	w.lose(first)
	w.awaitEpoch(p, 2)
	if took := time.Since(started); took < 600*time.Millisecond {
		t.Fatalf("the next epoch opened after %s, within a lease", took)
	}
}

// One process that is cut off from Redis ends nothing while others are not (H8).
func TestOneProcessAloneDoesNotEndAnEpoch(t *testing.T) {
	w := newWorld(t)
	w.changer(false)
	well := &gate{Ledger: w.ledger}
	p, _ := w.participantBehind(well, w.pool, time.Minute)
	first := w.awaitEpoch(p, 1)
	w.redis.shut.Store(true)
	testenv.Eventually(t, 10*time.Second, func() error {
		var missing int
		if err := w.pool.QueryRow(t.Context(), "SELECT count(redis_away_since) FROM participants").Scan(&missing); err != nil || missing != 1 {
			return fmt.Errorf("%d miss Redis, %w", missing, err)
		}
		return nil
	})
	for range 20 { // looks of the changer
		w.exec("SELECT pg_sleep(0.02)")
		if l, ok := p.Current(); !ok || l != first {
			t.Fatalf("%+v: one that is cut off has ended the epoch of all", l)
		}
	}
	well.shut.Store(true)
	if l := w.awaitEpoch(p, 2); l.Mode != epoch.Postgres {
		t.Fatalf("%+v", l)
	}
}

func TestHeldEpochStaysInPostgres(t *testing.T) {
	w := newWorld(t)
	w.changer(false)
	p, _ := w.participant(w.pool, time.Minute)
	w.awaitEpoch(p, 1)
	w.exec("UPDATE ledger_epoch SET held = true")
	second := w.awaitEpoch(p, 2)
	w.rest()
	for range 20 {
		w.exec("SELECT pg_sleep(0.02)")
		if l, ok := p.Current(); !ok || l != second || l.Mode != epoch.Postgres {
			t.Fatalf("%+v while it is held", l)
		}
	}
	w.exec("UPDATE ledger_epoch SET held = false")
	if l := w.awaitEpoch(p, 3); l.Mode != epoch.Redis {
		t.Fatalf("%+v", l)
	}
}

// A Redis that comes and goes is given more and more time.
func TestQuickReturnsMakeTheStayLonger(t *testing.T) {
	w := newWorld(t)
	w.changer(false)
	p, _ := w.participant(w.pool, time.Minute)
	w.awaitEpoch(p, 1)
	stay := func() (seconds float64) {
		if err := w.pool.QueryRow(t.Context(), "SELECT extract(epoch FROM stay)::float FROM ledger_epoch").Scan(&seconds); err != nil {
			t.Fatal(err)
		}
		return seconds
	}
	for number, want := range []float64{20, 40} {
		w.redis.shut.Store(true)
		w.awaitEpoch(p, int64(2*number+2))
		if got := stay(); got != want {
			t.Fatalf("stay %v s, want %v", got, want)
		}
		w.redis.shut.Store(false)
		w.exec("UPDATE ledger_epoch SET opened_at = opened_at - stay")
		w.awaitEpoch(p, int64(2*number+3))
	}
	w.rest() // it was well for an hour
	w.redis.shut.Store(true)
	w.awaitEpoch(p, 6)
	if got := stay(); got != 10 {
		t.Fatalf("stay %v s after a quiet hour", got)
	}
}

// An epoch in Postgres that is open when a process dies half way through the load goes on; the next load has its own name.
func TestFailedLoadLeavesTheEpochAsItWas(t *testing.T) {
	w := newWorld(t)
	stop := w.changer(false)
	p, _ := w.participant(w.pool, time.Minute)
	w.awaitEpoch(p, 1)
	w.redis.shut.Store(true)
	second := w.awaitEpoch(p, 2)
	stop()
	w.redis.shut.Store(false)
	w.rest()
	me, _ := w.participant(w.pool, time.Minute)
	testenv.Eventually(t, 5*time.Second, func() error {
		if !me.RedisWell() {
			return errors.New("not well")
		}
		return nil
	})
	broken := &failing{gate: w.redis}
	c := epoch.NewChanger(epoch.ChangerConfig{
		Store: epoch.NewStore(w.pool), Redis: broken, Topic: w.topic, Me: me, Log: slog.New(slog.DiscardHandler),
	})
	halt := w.run(func(ctx context.Context) error { return c.Run(ctx, 20*time.Millisecond) })
	testenv.Eventually(t, 5*time.Second, func() error {
		if broken.loads.Load() < 3 {
			return errors.New("no load has failed yet")
		}
		return nil
	})
	if l, ok := p.Current(); !ok || l != second {
		t.Fatalf("%+v after loads that failed", l)
	}
	halt()
	w.changer(false)
	w.awaitEpoch(p, 3)
}

// failing breaks off each load after its first ballot.
type failing struct {
	*gate

	loads atomic.Int64
}

func (f *failing) Load(ctx context.Context, fence redisledger.Fence, b redisledger.Ballot, fresh bool) error {
	if f.loads.Add(1)%2 == 0 {
		return errShut
	}
	return f.gate.Load(ctx, fence, b, fresh)
}
