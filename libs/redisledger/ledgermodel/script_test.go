package ledgermodel_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/redisledger/ledgermodel"
	"github.com/littlevote/littlevote/libs/testenv"
)

// ledger is what the scripts and the model have in common.
type ledger interface {
	Load(ctx context.Context, f redisledger.Fence, b redisledger.Ballot, fresh bool) error
	LoadNew(ctx context.Context, f redisledger.Fence, b redisledger.Ballot, open func(context.Context) error) error
	PutRules(ctx context.Context, f redisledger.Fence, b redisledger.Ballot) error
	Seal(ctx context.Context, f redisledger.Fence, ballot string) error
	Alive(ctx context.Context, f redisledger.Fence, ballot string) error
	Replication(ctx context.Context) (redisledger.Replication, error)
	Unlink(ctx context.Context, ns string) error
	Ticket(ctx context.Context, f redisledger.Fence, ballot string) (redisledger.TicketState, error)
	Mint(ctx context.Context, f redisledger.Fence, ballot string, m redisledger.Mint) (
		done redisledger.Minted, created, expires time.Time, err error)
	Admit(ctx context.Context, f redisledger.Fence, b *redisledger.Batch, outboxBound int, settle *redisledger.Settlement) (
		redisledger.Admitted, redisledger.SettleReply)
	Known(ctx context.Context, f redisledger.Fence, ballot string, id uuid.UUID) (redisledger.Verdict, bool)
	Settle(ctx context.Context, s *redisledger.Settlement) redisledger.SettleReply
	Claim(ctx context.Context, f redisledger.Fence, ballot string, id uuid.UUID, me string) (
		*redisledger.Claimed, redisledger.How, error)
	Remember(ctx context.Context, f redisledger.Fence, ballot string, id uuid.UUID, keysAndHashes [][]byte) error
	Refund(ctx context.Context, f redisledger.Fence, b *redisledger.Batch, v *redisledger.Verdict) (bool, error)
	Due(ctx context.Context, f redisledger.Fence, ballot string, lease time.Duration, limit int) (
		[]uuid.UUID, time.Duration, error)
	Tally(ctx context.Context, f redisledger.Fence, ballot string, names []string) ([]redisledger.Count, time.Time, error)
	Cut(ctx context.Context, f redisledger.Fence, ballot string) (redisledger.Cut, error)
	KeyStatus(ctx context.Context, f redisledger.Fence, ballot string, key uuid.UUID) (redisledger.KeyState, uuid.UUID, error)
	SetCounts(ctx context.Context, f redisledger.Fence, ballot string, admissions int64, counts []redisledger.Count) error
	Voted(ctx context.Context, f redisledger.Fence, ballot, voter string, candidates []string) ([]redisledger.Voted, error)
	VoterState(ctx context.Context, f redisledger.Fence, ballot, voter, candidate string) (redisledger.VoterState, error)
	ColdVoters(ctx context.Context, f redisledger.Fence, ballot string, cursor uint64, limit int) (
		[]redisledger.ColdVoter, uint64, error)
	EvictVoters(ctx context.Context, f redisledger.Fence, ballot string, cold []redisledger.ColdVoter) (int64, error)
}

var (
	_ ledger = (*redisledger.Ledger)(nil)
	_ ledger = (*ledgermodel.Ledger)(nil)
)

// server is a Redis with the scripts.
type server struct {
	rdb     redis.UniversalClient
	mini    *miniredis.Miniredis // nil: a real one, whose time nobody sets
	now     time.Time
	modelAt func() time.Time
}

// newServer returns a Redis whose time the test sets; or the one of the environment, with its own time.
func newServer(t *testing.T, ofEnvironment bool) *server {
	t.Helper()
	s := &server{now: time.UnixMilli(1_790_000_000_000)}
	s.modelAt = func() time.Time { return s.now }
	var url string
	if ofEnvironment {
		url = testenv.Redis(t)
		s.modelAt = time.Now
	} else {
		s.mini = miniredis.RunT(t)
		s.mini.SetTime(s.now)
		url = "redis://" + s.mini.Addr()
	}
	rdb, err := redisledger.Open(url, 4, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	s.rdb = rdb
	return s
}

func (s *server) advance(d time.Duration) {
	s.now = s.now.Add(d)
	s.mini.SetTime(s.now)
	s.mini.FastForward(d)
}

// TestScriptsDoWhatTheModelSays runs random calls on both, and compares each answer.
func TestScriptsDoWhatTheModelSays(t *testing.T) {
	for _, seed := range seeds(t) {
		s := newServer(t, false)
		newPlay(t, s, seed).run(200)
	}
}

// The same on the Redis of the environment. Its time can't be set, so times are left out of the comparison.
func TestScriptsDoWhatTheModelSaysOnThisRedis(t *testing.T) {
	for _, seed := range seeds(t)[:min(5, len(seeds(t)))] {
		s := newServer(t, true)
		newPlay(t, s, seed).run(200)
	}
}

// seeds are fixed, so that a failure comes again; LITTLEVOTE_TEST_SEED asks for one.
func seeds(t *testing.T) []uint64 {
	t.Helper()
	if text := os.Getenv("LITTLEVOTE_TEST_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return []uint64{seed}
	}
	list := make([]uint64, 16)
	for i := range list {
		list[i] = uint64(i + 1)
	}
	return list
}

// held is a batch that some admission accepted, with what both said of it.
type held struct {
	fence   redisledger.Fence
	batch   *redisledger.Batch
	verdict [2]redisledger.Verdict // of the scripts, of the model
}

// castVote is a voter's vote that was admitted.
type castVote struct {
	ballot string
	entry  redisledger.Entry
	at     time.Time
}

// play is one random sequence of calls.
type play struct {
	t     *testing.T
	rng   *rand.Rand
	seed  uint64
	s     *server
	on    [2]ledger // the scripts, the model
	model *ledgermodel.Ledger
	log   []string

	epoch int64
	fence redisledger.Fence
	old   []redisledger.Fence
	held  []*held
	keys  []uuid.UUID
	votes []uuid.UUID
	cast  []castVote
	rules int64

	ballots []string

	start  time.Time
	period time.Duration // of limits
}

// kinds are ballots of every kind that voters' states have; which one that is stays as it is.
var kinds = []string{"main", "tickets.none", "daily", "likes", "acme.each"}

// hotFor is how long the play's items are hot.
const hotFor = 4 * time.Minute

// shape gives a ballot the rules that never change once it has votes.
func (p *play) shape(b *redisledger.Ballot) {
	switch b.Name {
	case "tickets.none":
		b.Ticketless, b.VotesPerVoter = true, max(1, b.VotesPerVoter)
	case "daily":
		b.VoterPeriod, b.VotesPerVoter = p.period, max(1, b.VotesPerVoter)
	case "likes":
		b.PerCandidate, b.Ticketless, b.HotFor, b.VotesPerVoter = true, true, hotFor, 1
	case "acme.each":
		b.PerCandidate, b.VoterPeriod, b.VotesPerVoter = true, p.period, 2
	}
}

func newPlay(t *testing.T, s *server, seed uint64) *play {
	t.Helper()
	p := &play{t: t, seed: seed, s: s, rng: rand.New(rand.NewPCG(seed, 7)), epoch: 6}
	p.ballots = []string{kinds[seed%uint64(len(kinds))], kinds[(seed+1+seed/5)%uint64(len(kinds))]}
	p.start, p.period = s.modelAt(), 90*time.Second
	if s.mini == nil {
		p.period = 1000 * time.Hour // the two look at the time one after the other
	}
	p.model = ledgermodel.New(s.modelAt)
	p.on = [2]ledger{redisledger.New(s.rdb), p.model}
	for range 8 {
		p.keys = append(p.keys, p.newID(0))
	}
	t.Cleanup(func() {
		for _, f := range append(p.old, p.fence) {
			_ = p.on[0].Unlink(context.WithoutCancel(t.Context()), f.NS)
		}
	})
	return p
}

func (p *play) run(steps int) {
	p.t.Helper()
	p.change()
	// A script that a Redis does not know yet is sent again, behind the rest of its pipeline.
	_ = p.on[0].Settle(p.t.Context(), &redisledger.Settlement{Fence: p.fence, Ballot: p.ballots[0], ID: p.newID(0)})
	for range steps {
		p.step()
		if p.rng.IntN(8) == 0 {
			p.look(p.ballot())
		}
	}
}

func (p *play) step() {
	switch n := p.rng.IntN(100); {
	case n < 42:
		p.admit()
	case n < 62:
		p.settle()
	case n < 67:
		p.refund()
	case n < 71:
		p.claim()
	case n < 82:
		p.mint(p.ballot())
	case n < 83:
		p.key()
	case n < 86:
		p.voters()
	case n < 90:
		p.putRules()
	case n < 93:
		p.pass()
	case n < 95:
		p.evict()
	case n < 97:
		p.setCounts()
	case n < 98:
		p.spoil()
	default:
		p.strange()
	}
}

// same compares what both say about the same thing.
func (p *play) same(what string, a, b any, options ...cmp.Option) {
	p.t.Helper()
	options = append(options, cmp.Comparer(func(a, b error) bool {
		return (a == nil) == (b == nil) && (a == nil || isWrong(a) == isWrong(b))
	}))
	if p.s.mini == nil {
		options = append(options, cmp.Comparer(func(a, b time.Time) bool { return a.IsZero() == b.IsZero() }),
			cmp.Comparer(func(a, b time.Duration) bool { return a < 0 == (b < 0) }))
	}
	if diff := cmp.Diff(a, b, options...); diff != "" {
		p.t.Fatalf("LITTLEVOTE_TEST_SEED=%d, call %d, %s (-scripts +model):\n%s\nthe calls before:\n%s", p.seed, len(p.log), what, diff,
			strings.Join(p.log[max(0, len(p.log)-15):], "\n"))
	}
	p.log = append(p.log, what)
}

func isWrong(err error) bool { return strings.Contains(err.Error(), redisledger.ErrWrongEpoch.Error()) }

// each calls f on both.
func each[T any](p *play, what string, f func(l ledger) T) [2]T {
	p.t.Helper()
	r := [2]T{f(p.on[0]), f(p.on[1])}
	p.same(what, r[0], r[1])
	return r
}

func (p *play) ballot() string { return p.ballots[p.rng.IntN(len(p.ballots))] }

// any returns the fence of now, and rarely an old one.
func (p *play) any() redisledger.Fence {
	if len(p.old) > 0 && p.rng.IntN(25) == 0 {
		return p.old[p.rng.IntN(len(p.old))]
	}
	return p.fence
}

// newID makes a UUIDv7 of a time that is so far from now.
func (p *play) newID(off time.Duration) uuid.UUID {
	var id uuid.UUID
	for i := range id {
		id[i] = byte(p.rng.Uint32())
	}
	ms := p.s.modelAt().Add(off).UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (8 * (5 - i)))
	}
	id[6] = 0x70 | id[6]&0x0f
	id[8] = 0x80 | id[8]&0x3f
	id[14], id[15] = 0, id[15]%3 // few buckets
	return id
}

func (p *play) look(ballot string) {
	f := p.any()
	ctx := p.t.Context()
	each(p, "cut "+ballot, func(l ledger) any { c, err := l.Cut(ctx, f, ballot); return []any{c, err} })
	each(p, "ticket "+ballot, func(l ledger) any { s, err := l.Ticket(ctx, f, ballot); return []any{s, err} })
	each(p, "due "+ballot, func(l ledger) any {
		ids, age, err := l.Due(ctx, f, ballot, 0, 5)
		return []any{slices.Clip(append([]uuid.UUID{}, ids...)), age, err}
	})
	each(p, "tally "+ballot, func(l ledger) any {
		counts, at, err := l.Tally(ctx, f, ballot, nil)
		slices.SortFunc(counts, func(a, b redisledger.Count) int { return strings.Compare(a.Name, b.Name) })
		return []any{append([]redisledger.Count{}, counts...), at, err}
	})
	each(p, "counts "+ballot, func(l ledger) any {
		counts, at, err := l.Tally(ctx, f, ballot, []string{"a", "nobody"})
		return []any{counts, at, err}
	})
	each(p, "alive "+ballot, func(l ledger) error { return l.Alive(ctx, f, ballot) })
	each(p, "role", func(l ledger) bool { r, err := l.Replication(ctx); return r.Master && err == nil })
}

// sortCold puts states in an order: a model knows nothing of hash tables.
func sortCold(cold []redisledger.ColdVoter) []redisledger.ColdVoter {
	slices.SortFunc(cold, func(a, b redisledger.ColdVoter) int { return strings.Compare(a.Field, b.Field) })
	return append([]redisledger.ColdVoter{}, slices.Compact(cold)...)
}

func (p *play) name() string { return fmt.Sprintf("%c", 'a'+rune(p.rng.IntN(7))) }
