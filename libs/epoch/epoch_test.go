package epoch_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/testenv"
)

// topic is a log whose end the test sets.
type topic struct {
	id   uuid.UUID
	mu   sync.Mutex
	ends map[int32]int64
	err  error
}

func (l *topic) EndOffsets(context.Context) (uuid.UUID, map[int32]int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.id, l.ends, l.err
}

// gate is Redis as one process sees it; the test can shut it.
type gate struct {
	*redisledger.Ledger

	shut   atomic.Bool
	joined atomic.Bool // a replica is connected
	alone  atomic.Bool // it passes for a Redis without replicas, whichever the environment gives
}

var errShut = errors.New("no way to Redis")

func (g *gate) Ping(ctx context.Context) error {
	if g.shut.Load() {
		return errShut
	}
	return ctx.Err()
}

func (g *gate) Replication(ctx context.Context) (redisledger.Replication, error) {
	if g.shut.Load() {
		return redisledger.Replication{}, errShut
	}
	r, err := g.Ledger.Replication(ctx)
	r.Replicas = r.Replicas && !g.alone.Load() || g.joined.Load()
	return r, err
}

func (g *gate) Load(ctx context.Context, f redisledger.Fence, b redisledger.Ballot, fresh bool) error {
	if g.shut.Load() {
		return errShut
	}
	return g.Ledger.Load(ctx, f, b, fresh)
}

// world is one Postgres, one Redis and a log.
type world struct {
	t      *testing.T
	url    string
	pool   *pgxpool.Pool
	ledger *redisledger.Ledger
	redis  *gate
	topic  *topic
	base   int64 // the number before the first epoch's
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, url: testenv.Postgres(t), topic: &topic{id: uuid.New(), ends: map[int32]int64{0: 0, 1: 0}}}
	if err := pgledger.Migrate(t.Context(), w.url, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	w.pool = w.open()
	rdb, err := redisledger.Open(testenv.Redis(t), 10, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	w.ledger = redisledger.New(rdb)
	w.redis = &gate{Ledger: w.ledger}
	t.Cleanup(func() { _ = w.ledger.Unlink(context.WithoutCancel(t.Context()), w.row().NS) })
	return w
}

func (w *world) open() *pgxpool.Pool {
	w.t.Helper()
	pool, err := pgledger.Open(w.t.Context(), config.Postgres{URL: w.url, PoolSize: 10})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(pool.Close)
	return pool
}

func (w *world) row() pgledger.Epoch {
	e, err := pgledger.CurrentEpoch(context.WithoutCancel(w.t.Context()), w.pool)
	if err != nil && !errors.Is(err, pgledger.ErrNoEpoch) {
		w.t.Error(err)
	}
	return e
}

// run runs f until the test ends or the returned function is called.
func (w *world) run(f func(ctx context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := f(ctx); err != nil {
			w.t.Error(err)
		}
	}()
	stop = func() { cancel(); <-done }
	w.t.Cleanup(stop)
	return stop
}

func (w *world) participant(pool *pgxpool.Pool, lease time.Duration) (*epoch.Participant, func()) {
	return w.participantBehind(w.redis, pool, lease)
}

// participantBehind has a way to Redis of its own.
func (w *world) participantBehind(redis *gate, pool *pgxpool.Pool, lease time.Duration) (*epoch.Participant, func()) {
	p := epoch.NewParticipant(epoch.NewStore(pool), redis, epoch.Config{
		ID: uuid.NewString(), Service: "test", Lease: lease, Heartbeat: 20 * time.Millisecond,
	}, slog.New(slog.DiscardHandler))
	return p, w.run(p.Run)
}

func (w *world) changer(replicated bool) (stop func()) {
	me, leave := w.participant(w.pool, time.Minute)
	c := epoch.NewChanger(epoch.ChangerConfig{
		Store: epoch.NewStore(w.pool), Redis: w.redis, Topic: w.topic, Me: me, Replicated: replicated,
		Log: slog.New(slog.DiscardHandler),
	})
	run := w.run(func(ctx context.Context) error { return c.Run(ctx, 20*time.Millisecond) })
	return func() { run(); leave() }
}

func (w *world) awaitEpoch(p *epoch.Participant, number int64) epoch.Ledger {
	w.t.Helper()
	var fence epoch.Ledger
	testenv.Eventually(w.t, 20*time.Second, func() error {
		f, ok := p.Current()
		if ok && w.base == 0 {
			w.base = f.Epoch - 1
		}
		if !ok || f.Epoch != w.base+number {
			return fmt.Errorf("epoch %d, open %v, want %d", f.Epoch, ok, w.base+number)
		}
		fence = f
		return nil
	})
	return fence
}

// lose takes the state out of Redis.
func (w *world) lose(f epoch.Ledger) {
	w.t.Helper()
	if err := w.ledger.Unlink(w.t.Context(), f.NS); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.pool.Exec(w.t.Context(), sql, args...); err != nil {
		w.t.Fatal(err)
	}
}

func TestFirstEpochOpensAndCarriesTheLedger(t *testing.T) {
	w := newWorld(t)
	w.exec("INSERT INTO user_votes VALUES ('main', 'A', 42, 7, now()), ('cast', 'alice', 1, 1, now())")
	p, _ := w.participant(w.pool, time.Minute)
	if _, ok := p.Current(); ok {
		t.Fatal("a participant works before any epoch is open")
	}
	w.changer(false)
	fence := w.awaitEpoch(p, 1)
	counts, _, err := w.ledger.Tally(t.Context(), fence.Fence(), "main", []string{"A", "B"})
	if err != nil || counts[0].Votes != 42 || counts[1].Votes != 0 {
		t.Fatalf("%v %v", counts, err)
	}
	if !p.Live(fence) || p.Ready(t.Context()) != nil {
		t.Fatal("not live in the epoch that is open")
	}
}

func TestSeveralChangersMakeOneEpoch(t *testing.T) {
	w := newWorld(t)
	p, _ := w.participant(w.pool, time.Minute)
	for range 4 {
		w.changer(false)
	}
	w.lose(w.awaitEpoch(p, 1))
	w.lose(w.awaitEpoch(p, 2))
	w.awaitEpoch(p, 3)
	if got := w.row().Number - w.base; got != 3 {
		t.Fatalf("%d epochs, want 3", got)
	}
}

func TestRestartIsNoChange(t *testing.T) {
	w := newWorld(t)
	stop := w.changer(false)
	p, leave := w.participant(w.pool, time.Minute)
	first := w.awaitEpoch(p, 1)
	stop()
	leave()
	w.changer(false)
	p, _ = w.participant(w.pool, time.Minute)
	if again := w.awaitEpoch(p, 1); again != first {
		t.Fatalf("%+v, want %+v", again, first)
	}
}

// H6: nothing is loaded before every participant stopped, and none acknowledges once it has.
func TestBarrierWaitsForParticipants(t *testing.T) {
	w := newWorld(t)
	w.changer(true)
	p, _ := w.participant(w.pool, time.Minute)
	first := w.awaitEpoch(p, 1)
	// One that died without a word: its lease must run out.
	w.exec("INSERT INTO participants (id, service, epoch, stopped, lease_until) VALUES ('dead', 'test', $1, false, now() + interval '700 milliseconds')", first.Epoch)
	started := time.Now()
	w.lose(first)
	testenv.Eventually(t, 20*time.Second, func() error {
		if p.Live(first) {
			return errors.New("still live in an epoch that is ending")
		}
		return nil
	})
	w.awaitEpoch(p, 2)
	if took := time.Since(started); took < 600*time.Millisecond {
		t.Fatalf("the new epoch opened after %s, within the lease of one that may still acknowledge", took)
	}
}

// Without a replica the only node that held the epoch is sealed, and nobody's lease has to be waited for.
func TestSealedRedisNeedsNoWait(t *testing.T) {
	w := newWorld(t)
	w.redis.alone.Store(true)
	w.changer(false)
	p, _ := w.participant(w.pool, time.Minute)
	first := w.awaitEpoch(p, 1)
	w.exec("INSERT INTO participants (id, service, epoch, stopped, lease_until) VALUES ('dead', 'test', $1, false, now() + interval '1 hour')", first.Epoch)
	w.lose(first)
	w.awaitEpoch(p, 2)
	if err := w.ledger.Alive(t.Context(), first.Fence(), "main"); !errors.Is(err, redisledger.ErrWrongEpoch) {
		t.Fatalf("the old ledger answers: %v", err)
	}
}

// H5, H7: the new epoch begins only when the ledger holds everything that the log holds.
func TestNewEpochWaitsForThePersister(t *testing.T) {
	w := newWorld(t)
	w.changer(false)
	p, _ := w.participant(w.pool, time.Minute)
	first := w.awaitEpoch(p, 1)
	w.topic.mu.Lock()
	w.topic.ends = map[int32]int64{0: 3, 1: 0}
	w.topic.mu.Unlock()
	w.exec("INSERT INTO offsets VALUES ($1, 0, 2, now())", w.topic.id)
	w.lose(first)
	testenv.Eventually(t, 20*time.Second, func() error {
		if row := w.row(); row.State != "ending" {
			return fmt.Errorf("%+v", row)
		}
		return nil
	})
	w.exec("INSERT INTO user_votes VALUES ('main', 'A', 5, 5, now())") // what the persister does last
	w.exec("UPDATE offsets SET next = 3")
	second := w.awaitEpoch(p, 2)
	counts, _, err := w.ledger.Tally(t.Context(), second.Fence(), "main", []string{"A"})
	if err != nil || counts[0].Votes != 5 {
		t.Fatalf("%v %v", counts, err)
	}
}

func TestParticipantThatComesWhileAnEpochEndsDoesNotBegin(t *testing.T) {
	w := newWorld(t)
	stop := w.changer(false)
	p, leave := w.participant(w.pool, time.Minute)
	w.awaitEpoch(p, 1)
	stop()
	leave()
	w.exec("UPDATE ledger_epoch SET state = 'ending'")
	late, _ := w.participant(w.pool, time.Minute)
	for deadline := time.Now().Add(300 * time.Millisecond); time.Now().Before(deadline); { // a dozen heartbeats
		if _, ok := late.Current(); ok {
			t.Fatal("it works in an epoch that is ending")
		}
		w.exec("SELECT 1")
	}
	var rows int
	if err := w.pool.QueryRow(t.Context(), "SELECT count(*) FROM participants WHERE NOT stopped").Scan(&rows); err != nil || rows != 0 {
		t.Fatalf("%d participants, %v", rows, err)
	}
}

// Without Postgres a belief lasts as long as its lease, and no longer.
func TestLeaseRunsOutWithoutPostgres(t *testing.T) {
	w := newWorld(t)
	w.changer(false)
	own := w.open()
	p, _ := w.participant(own, 500*time.Millisecond)
	fence := w.awaitEpoch(p, 1)
	own.Close()
	last := time.Now()
	testenv.Eventually(t, 5*time.Second, func() error {
		if p.Live(fence) {
			return errors.New("live")
		}
		return nil
	})
	if took := time.Since(last); took > 2*time.Second {
		t.Fatalf("live for %s after Postgres went away, with a lease of 500 ms", took)
	}
}

func TestStopGivesTheLeaseUp(t *testing.T) {
	w := newWorld(t)
	w.changer(false)
	p, leave := w.participant(w.pool, 90*time.Second)
	fence := w.awaitEpoch(p, 1)
	leave()
	var rows int
	if err := w.pool.QueryRow(t.Context(), "SELECT count(*) FROM participants WHERE lease_until > now() + interval '70 seconds'").Scan(&rows); err != nil || rows != 0 {
		t.Fatalf("%d participants, %v", rows, err)
	}
	if p.Live(fence) {
		t.Fatal("live after its end")
	}
}

func TestWatcherFollows(t *testing.T) {
	w := newWorld(t)
	watcher := epoch.NewWatcher(epoch.NewStore(w.pool), 20*time.Millisecond, slog.New(slog.DiscardHandler))
	w.run(watcher.Run)
	if _, ok := watcher.Current(); ok {
		t.Fatal("an epoch is open before there is one")
	}
	w.changer(false)
	var last int64
	for range 2 {
		testenv.Eventually(t, 20*time.Second, func() error {
			if f, ok := watcher.Current(); !ok || f.Epoch == last {
				return fmt.Errorf("%+v %v", f, ok)
			}
			return nil
		})
		f, _ := watcher.Current()
		last = f.Epoch
		w.lose(f)
	}
}

// An earlier life of the topic, with another Postgres, left records of epochs with small numbers: they are over.
func TestFirstEpochIsNewerThanAnyOther(t *testing.T) {
	w := newWorld(t)
	before := time.Now().Add(-time.Minute).Unix()
	w.changer(false)
	p, _ := w.participant(w.pool, time.Minute)
	if f := w.awaitEpoch(p, 1); f.Epoch < before {
		t.Fatalf("the first epoch is %d", f.Epoch)
	}
}
