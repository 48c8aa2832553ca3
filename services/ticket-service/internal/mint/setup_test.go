package mint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/libs/ticket"
	"github.com/littlevote/littlevote/services/ticket-service/internal/ballots"
	"github.com/littlevote/littlevote/services/ticket-service/internal/history"
	"github.com/littlevote/littlevote/services/ticket-service/internal/ledger"
	"github.com/littlevote/littlevote/services/ticket-service/internal/lock"
)

const main = "main"

// site is a Redis with an open epoch, and what its replicas share.
type site struct {
	t       *testing.T
	url     string
	rdb     redis.UniversalClient
	ledger  *redisledger.Ledger
	tickets *ledger.Tickets
	pool    *pgxpool.Pool // nil as long as no epoch in Postgres was asked for
	epochs  *epochs
	ballots *directory
	keys    *ticket.Keys
	lockKey string
	hang    chan struct{} // if there is one, no call to Redis ends before it is closed
	hanging atomic.Int64  // how many calls have come to that
	slow    string        // a ballot whose calls do not return, for the replicas that are started from now on
	log     *slog.Logger  // of the replicas that are started from now on
	tracer  trace.Tracer  // of the replicas that are started from now on; nil: none
}

func newSite(t *testing.T, list ...ballots.Ballot) *site {
	t.Helper()
	s := &site{t: t, url: testenv.Redis(t), lockKey: testenv.Namespace(t), epochs: &epochs{}, ballots: &directory{}}
	s.log = slog.New(slog.DiscardHandler)
	s.rdb = s.client()
	s.ledger = redisledger.New(s.rdb)
	var err error
	if s.keys, err = ticket.NewKeys(bytes.Repeat([]byte("k"), 32)); err != nil {
		t.Fatal(err)
	}
	s.ballots.set(list...)
	s.tickets = s.over(s.rdb)
	s.openEpoch(3)
	return s
}

func (s *site) client() redis.UniversalClient {
	s.t.Helper()
	rdb, err := redisledger.Open(s.url, 20, 5*time.Second)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// openEpoch loads all ballots under a fresh name and tells everybody.
func (s *site) openEpoch(number int64) {
	s.t.Helper()
	f := redisledger.Fence{Epoch: number, NS: redisledger.NewNS()}
	for name := range *s.ballots.Set() {
		if err := s.ledger.Load(s.t.Context(), f, redisledger.Ballot{Name: name, State: "open"}, true); err != nil {
			s.t.Fatal(err)
		}
	}
	ctx := context.WithoutCancel(s.t.Context())
	s.t.Cleanup(func() { _ = s.ledger.Unlink(ctx, f.NS) })
	s.epochs.open.Store(&epoch.Ledger{Epoch: number, Mode: epoch.Redis, NS: f.NS})
}

// openPostgres opens an epoch in Postgres and tells everybody.
func (s *site) openPostgres(number int64) {
	s.t.Helper()
	err := pgx.BeginFunc(s.t.Context(), s.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(s.t.Context(), `
			INSERT INTO ledger_epoch (epoch, mode, state, ns, replicated, reason) VALUES ($1, 'pg', 'open', '', false, 'test')
			ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch, mode = 'pg'`, number)
		if err != nil {
			return err
		}
		return pgledger.OpenPg(s.t.Context(), tx, number)
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.epochs.open.Store(&epoch.Ledger{Epoch: number, Mode: epoch.Postgres})
}

// withPostgres makes the database; before any replica starts.
func (s *site) withPostgres() {
	s.t.Helper()
	url := testenv.Postgres(s.t)
	if err := pgledger.Migrate(s.t.Context(), url, slog.New(slog.DiscardHandler)); err != nil {
		s.t.Fatal(err)
	}
	var err error
	if s.pool, err = pgledger.Open(s.t.Context(), config.Postgres{URL: url, PoolSize: 10}); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(s.pool.Close)
	s.tickets = s.over(s.rdb)
}

func (s *site) over(rdb redis.UniversalClient) *ledger.Tickets {
	return ledger.New(s.epochs, hangs{ledger.Redis{Ledger: redisledger.New(rdb)}, s}, ledger.Postgres{Pool: s.pool})
}

// hangs is a Redis whose calls end when the site says so, and not when the caller gives up.
type hangs struct {
	ledger.Store
	site *site
}

func (h hangs) Ticket(ctx context.Context, in epoch.Ledger, ballot string) (redisledger.TicketState, error) {
	if h.site.hang != nil {
		h.site.hanging.Add(1)
		<-h.site.hang
	}
	return h.Store.Ticket(ctx, in, ballot)
}

// fence is that of the open epoch.
func (s *site) fence() redisledger.Fence { return s.epochs.open.Load().Fence() }

func (s *site) state(ballot string) redisledger.TicketState {
	s.t.Helper()
	_, state, err := s.tickets.Ticket(s.t.Context(), ballot)
	if err != nil {
		s.t.Fatal(err)
	}
	return state
}

// mintFirst makes the first ticket of the open epoch: only with the second does it matter who holds the lock.
func (s *site) mintFirst(interval time.Duration) {
	s.t.Helper()
	in := *s.epochs.open.Load()
	first := redisledger.Mint{
		Number: 1, Version: fmt.Sprintf("%d.1.0", in.Epoch), Value: "first", Cap: 100, Interval: interval,
	}
	done, _, _, err := s.tickets.Mint(s.t.Context(), in, main, first)
	if err != nil || done != redisledger.MintDone {
		s.t.Fatalf("the first ticket: %s %v", done, err)
	}
}

// until waits for the tickets of a ballot to be so.
func (s *site) until(ballot, what string, so func(redisledger.TicketState) bool) redisledger.TicketState {
	s.t.Helper()
	var state redisledger.TicketState
	testenv.Eventually(s.t, 30*time.Second, func() error {
		if state = s.state(ballot); !so(state) {
			return fmt.Errorf("not yet: %s: %+v", what, state)
		}
		return nil
	})
	return state
}

func complete(state redisledger.TicketState) bool { return state.Usable() && state.Successor != "" }

// watchGap reads the tickets all the time, from a moment when there is one, until the ballot's last number; it returns
// the longest time without a usable one.
func (s *site) watchGap(ballot string, last int64) time.Duration {
	s.t.Helper()
	var longest time.Duration
	usable := time.Now()
	for end := usable.Add(20 * time.Second); ; {
		state := s.state(ballot)
		if state.Usable() {
			usable = time.Now()
		}
		longest = max(longest, time.Since(usable))
		if state.LastNumber >= last && state.Usable() {
			return longest
		}
		if time.Now().After(end) {
			s.t.Fatalf("ticket %d is not minted: %+v", last, state)
		}
	}
}

// replica is a minter with a lock, a history and a connection of its own.
type replica struct {
	*site
	keeper  *lock.Keeper
	minter  *Minter
	history *recorder
	frozen  *frozen
	stop    func()
}

// start runs a replica; without a backend it uses the site's lock in Redis.
func (s *site) start(ttl time.Duration, backend lock.Backend) *replica {
	s.t.Helper()
	rdb := s.client()
	r := &replica{site: s, history: &recorder{}, frozen: &frozen{Ledger: s.over(rdb), slow: s.slow}}
	if backend == nil {
		backend = lock.NewRedis(rdb, s.lockKey, ttl)
	}
	r.keeper = lock.NewKeeper(&frozenLock{backend, r.frozen}, ttl, s.log)
	m, err := New(Config{
		Ledger: r.frozen, Epochs: s.epochs, Ballots: s.ballots, Lock: r.keeper, History: r.history, Keys: s.keys,
		LockTTL: ttl, Meter: noop.Meter{}, Log: s.log, Tracer: s.tracer,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	r.minter = m
	ctx, cancel := context.WithCancel(s.t.Context())
	var done sync.WaitGroup
	for _, run := range []func(context.Context) error{r.keeper.Run, m.Run} {
		done.Go(func() {
			if err := run(ctx); err != nil {
				s.t.Error(err)
			}
		})
	}
	r.stop = func() {
		cancel()
		done.Wait()
	}
	s.t.Cleanup(r.stop)
	return r
}

func (r *replica) waitHold() *lock.Hold {
	r.t.Helper()
	var hold *lock.Hold
	testenv.Eventually(r.t, 10*time.Second, func() error {
		if hold = r.keeper.Hold(); hold == nil {
			return errors.New("no hold")
		}
		return nil
	})
	return hold
}

// untilRecorded waits until so many tickets of a ballot are in the history, and so known to the replica.
func (r *replica) untilRecorded(ballot string, n int) {
	r.t.Helper()
	testenv.Eventually(r.t, 30*time.Second, func() error {
		if got := len(r.history.all(ballot)); got < n {
			return fmt.Errorf("%d tickets of %s, want %d", got, ballot, n)
		}
		return nil
	})
}

// frozen is a ledger that can stop answering, for all ballots or for one.
type frozen struct {
	Ledger
	all  atomic.Bool
	slow string
}

func (f *frozen) wait(ctx context.Context, ballot string) error {
	if f.all.Load() || f.slow != "" && f.slow == ballot {
		<-ctx.Done()
	}
	return ctx.Err()
}

func (f *frozen) Ticket(ctx context.Context, ballot string) (epoch.Ledger, redisledger.TicketState, error) {
	if err := f.wait(ctx, ballot); err != nil {
		return epoch.Ledger{}, redisledger.TicketState{}, err
	}
	return f.Ledger.Ticket(ctx, ballot)
}

func (f *frozen) Mint(ctx context.Context, in epoch.Ledger, ballot string, m redisledger.Mint) (
	redisledger.Minted, time.Time, time.Time, error,
) {
	if err := f.wait(ctx, ballot); err != nil {
		return "", time.Time{}, time.Time{}, err
	}
	return f.Ledger.Mint(ctx, in, ballot, m)
}

// frozenLock stops answering together with the ledger.
type frozenLock struct {
	lock.Backend
	frozen *frozen
}

type frozenClaim struct {
	lock.Claim
	frozen *frozen
}

func (f *frozenLock) Take(ctx context.Context) (lock.Claim, error) {
	if err := f.frozen.wait(ctx, ""); err != nil {
		return nil, err
	}
	c, err := f.Backend.Take(ctx)
	if err != nil {
		return nil, err
	}
	return &frozenClaim{c, f.frozen}, nil
}

func (c *frozenClaim) Renew(ctx context.Context) error {
	if err := c.frozen.wait(ctx, ""); err != nil {
		return err
	}
	return c.Claim.Renew(ctx)
}

func (c *frozenClaim) Release(ctx context.Context) error {
	if err := c.frozen.wait(ctx, ""); err != nil {
		return err
	}
	return c.Claim.Release(ctx)
}

// away is a lock store that does not answer.
type away struct{}

func (away) Take(context.Context) (lock.Claim, error) { return nil, errors.New("away") }

// epochs is a believed epoch that the test sets.
type epochs struct {
	open     atomic.Pointer[epoch.Ledger]
	suspects atomic.Int64
}

func (e *epochs) Current() (epoch.Ledger, bool) {
	if l := e.open.Load(); l != nil {
		return *l, true
	}
	return epoch.Ledger{}, false
}

func (e *epochs) Suspect() { e.suspects.Add(1) }

// directory is a set of ballots that the test sets.
type directory struct{ known atomic.Pointer[ballots.Set] }

func (d *directory) set(list ...ballots.Ballot) {
	set := ballots.Set{}
	for _, b := range list {
		set[b.Name] = b
	}
	d.known.Store(&set)
}

func (d *directory) Set() *ballots.Set { return d.known.Load() }

func (d *directory) Get(name string) (ballots.Ballot, bool) {
	b, ok := (*d.known.Load())[name]
	return b, ok
}

// recorder keeps the history.
type recorder struct {
	mu   sync.Mutex
	list []history.Ticket
}

func (r *recorder) Add(_ context.Context, t history.Ticket) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, t)
}

func (r *recorder) all(ballot string) []history.Ticket {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.list), func(t history.Ticket) bool { return t.Ballot != ballot })
}

// chain sorts what several replicas have recorded, each ticket once, and checks that the windows adjoin, from the ticket of
// that number on.
func chain(t *testing.T, keys *ticket.Keys, first int64, replicas ...[]history.Ticket) []history.Ticket {
	t.Helper()
	numbers := map[int64]history.Ticket{}
	for _, list := range replicas {
		for _, h := range list {
			claims, err := keys.Verify(h.Value)
			if err != nil || claims.Version() != h.Version || claims.Ballot != h.Ballot {
				t.Fatalf("%+v: %+v, %v", h, claims, err)
			}
			if other, ok := numbers[claims.Number]; ok && other.Value != h.Value {
				t.Errorf("two tickets of one window: %+v, %+v", other, h)
			}
			numbers[claims.Number] = h
		}
	}
	var out []history.Ticket
	for n := first; n < first+int64(len(numbers)); n++ {
		h, ok := numbers[n]
		if !ok {
			t.Fatalf("ticket %d is not in the history of %d", n, len(numbers))
		}
		if n > first {
			if before := out[len(out)-1]; !h.CreatedAt.Equal(before.ExpiresAt) {
				t.Errorf("%s begins %v after the end of %s", h.Version, h.CreatedAt.Sub(before.ExpiresAt), before.Version)
			}
		}
		out = append(out, h)
	}
	return out
}
