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

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/libs/ticket"
	"github.com/littlevote/littlevote/services/ticket-service/internal/ballots"
	"github.com/littlevote/littlevote/services/ticket-service/internal/history"
	"github.com/littlevote/littlevote/services/ticket-service/internal/lock"
)

const main = "main"

// site is a Redis with an open epoch, and what its replicas share.
type site struct {
	t       *testing.T
	url     string
	rdb     redis.UniversalClient
	ledger  *redisledger.Ledger
	epochs  *epochs
	ballots *directory
	keys    *ticket.Keys
	lockKey string
	slow    string // a ballot whose calls do not return, for the replicas that are started from now on
}

func newSite(t *testing.T, list ...ballots.Ballot) *site {
	t.Helper()
	s := &site{t: t, url: testenv.Redis(t), lockKey: testenv.Namespace(t), epochs: &epochs{}, ballots: &directory{}}
	s.rdb = s.client()
	s.ledger = redisledger.New(s.rdb)
	var err error
	if s.keys, err = ticket.NewKeys(bytes.Repeat([]byte("k"), 32)); err != nil {
		t.Fatal(err)
	}
	s.ballots.set(list...)
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
func (s *site) openEpoch(epoch int64) redisledger.Fence {
	s.t.Helper()
	f := redisledger.Fence{Epoch: epoch, NS: redisledger.NewNS()}
	for name := range *s.ballots.Set() {
		if err := s.ledger.Load(s.t.Context(), f, redisledger.Ballot{Name: name, State: "open"}, true); err != nil {
			s.t.Fatal(err)
		}
	}
	ctx := context.WithoutCancel(s.t.Context())
	s.t.Cleanup(func() { _ = s.ledger.Unlink(ctx, f.NS) })
	s.epochs.fence.Store(&f)
	return f
}

func (s *site) state(ballot string) redisledger.TicketState {
	s.t.Helper()
	state, err := s.ledger.Ticket(s.t.Context(), *s.epochs.fence.Load(), ballot)
	if err != nil {
		s.t.Fatal(err)
	}
	return state
}

// until waits for the tickets of a ballot to be so.
func (s *site) until(ballot, what string, so func(redisledger.TicketState) bool) redisledger.TicketState {
	s.t.Helper()
	var state redisledger.TicketState
	testenv.Eventually(s.t, 10*time.Second, func() error {
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
	history *recorder
	frozen  *frozen
	stop    func()
}

// start runs a replica; without a backend it uses the site's lock in Redis.
func (s *site) start(ttl time.Duration, backend lock.Backend) *replica {
	s.t.Helper()
	rdb := s.client()
	r := &replica{site: s, history: &recorder{}, frozen: &frozen{Ledger: redisledger.New(rdb), slow: s.slow}}
	if backend == nil {
		backend = lock.NewRedis(rdb, s.lockKey, ttl)
	}
	log := slog.New(slog.DiscardHandler)
	r.keeper = lock.NewKeeper(&frozenLock{backend, r.frozen}, ttl, log)
	m, err := New(Config{
		Ledger: r.frozen, Epochs: s.epochs, Ballots: s.ballots, Lock: r.keeper, History: r.history, Keys: s.keys,
		LockTTL: ttl, Meter: noop.Meter{}, Log: log,
	})
	if err != nil {
		s.t.Fatal(err)
	}
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

func (f *frozen) Ticket(ctx context.Context, fence redisledger.Fence, ballot string) (redisledger.TicketState, error) {
	if err := f.wait(ctx, ballot); err != nil {
		return redisledger.TicketState{}, err
	}
	return f.Ledger.Ticket(ctx, fence, ballot)
}

func (f *frozen) Mint(ctx context.Context, fence redisledger.Fence, ballot string, m redisledger.Mint) (
	redisledger.Minted, time.Time, time.Time, error,
) {
	if err := f.wait(ctx, ballot); err != nil {
		return "", time.Time{}, time.Time{}, err
	}
	return f.Ledger.Mint(ctx, fence, ballot, m)
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
	fence    atomic.Pointer[redisledger.Fence]
	suspects atomic.Int64
}

func (e *epochs) Current() (redisledger.Fence, bool) {
	if f := e.fence.Load(); f != nil {
		return *f, true
	}
	return redisledger.Fence{}, false
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

// chain sorts what several replicas have recorded, each ticket once, and checks that the windows adjoin.
func chain(t *testing.T, keys *ticket.Keys, replicas ...[]history.Ticket) []history.Ticket {
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
	for n := int64(1); n <= int64(len(numbers)); n++ {
		h, ok := numbers[n]
		if !ok {
			t.Fatalf("ticket %d is not in the history of %d", n, len(numbers))
		}
		if n > 1 && !h.CreatedAt.Equal(out[n-2].ExpiresAt) {
			t.Errorf("%s begins %v after the end of %s", h.Version, h.CreatedAt.Sub(out[n-2].ExpiresAt), out[n-2].Version)
		}
		out = append(out, h)
	}
	return out
}
