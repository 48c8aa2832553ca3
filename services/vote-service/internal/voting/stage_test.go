package voting_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/events"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/redisledger/ledgermodel"
	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/libs/ticket"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"

	"github.com/littlevote/littlevote/services/vote-service/internal/voting"
)

// stage is an engine among stores that the test directs: each can be told how its next calls end.
type stage struct {
	t      *testing.T
	engine *voting.Engine

	mu     sync.Mutex
	redis  *ledgermodel.Ledger
	ledger epoch.Ledger
	open   bool
	live   bool

	produce func(*eventv1.VoteBatch) (sent bool, err error)
	apply   func(*eventv1.VoteBatch) (pgledger.Verdict, error)
	lookup  func() // called while Postgres is asked for a key, after it has looked
	lag     func() time.Duration
	voteOf  func() *pgledger.Vote
	lost    bool // replies of settle do not arrive
	deaf    bool // replies of admit do not arrive; nor does Redis say what became of it
	logged  []*eventv1.VoteBatch
	applied map[uuid.UUID]bool

	ballots     []pgledger.Ballot
	frozen      []pgledger.Ballot // what a read of all ballots says instead; nil: the same
	named       map[string]bool
	votesOf     map[pgledger.VoterKey][]uuid.UUID // as Postgres has them
	questions   []string                          // the candidates of which it was asked
	clock       time.Duration                     // by which that of Redis is ahead
	evicted     int64
	looks       int // for what may be evicted
	reads       int // of the ballots
	singles     int // reads of single ballots
	singlesFail bool
	ruled       int           // markers that were brought rules
	tried       chan struct{} // closed once an admission found no marker; nil: nobody waits for it
	afterLook   func()        // called once, after Redis was asked for a voter's votes
}

var errAway = errors.New("away")

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, open: true, live: true, applied: map[uuid.UUID]bool{}, votesOf: map[pgledger.VoterKey][]uuid.UUID{}, named: map[string]bool{}}
	s.ballots = []pgledger.Ballot{{
		Name: "main", State: "open", Candidates: []string{"A", "B"}, RulesVersion: 1, Visibility: pgledger.VisibleAlways,
	}}
	s.redis = ledgermodel.New(func() time.Time { return time.Now().Add(s.clock) })
	s.produce = func(*eventv1.VoteBatch) (bool, error) { return true, nil }
	s.apply = func(*eventv1.VoteBatch) (pgledger.Verdict, error) { return pgledger.Applied, nil }
	s.lookup, s.voteOf = func() {}, func() *pgledger.Vote { return nil }
	s.lag = func() time.Duration { return 0 }
	s.change(1)
	keys, err := ticket.Open("", true)
	if err != nil {
		t.Fatal(err)
	}
	s.engine = voting.NewEngine(voting.Config{
		Instance: "me", Workers: 1, BatchVotes: 100, BatchBytes: 1 << 16, Queue: 1000, Outbox: 100, OutboxLease: time.Minute,
		Timeout: 300 * time.Millisecond, Refresh: 10 * time.Millisecond, OutboxAge: time.Hour,
	}, voting.Parts{
		Redis: gatedRedis{s}, Epochs: s, Topic: s, Store: modelStore{s}, Keys: keys,
		EndEpoch: func(context.Context, string) error { return nil }, Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() { defer close(done); _ = s.engine.Run(ctx) }()
	t.Cleanup(func() { s.engine.Close(ctx); cancel(); <-done })
	testenv.Eventually(t, 5*time.Second, func() error { return s.engine.Ready(ctx) })
	return s
}

// load makes an epoch of its own, in which a ballot begins with some counts.
func (s *stage) load(ballot string, counts ...redisledger.Count) {
	s.t.Helper()
	s.change(s.ledger.Epoch + 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ledger.NS = redisledger.NewNS()
	err := s.redis.Load(s.t.Context(), s.ledger.Fence(), redisledger.Ballot{Name: ballot, State: "open", Rules: 1, Counts: counts}, false)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, _, _, err = s.redis.Mint(s.t.Context(), s.ledger.Fence(), ballot, redisledger.Mint{
		Number: 1, Version: "2.1.0", Value: "ticket", Cap: 10, Interval: time.Hour,
	}); err != nil {
		s.t.Fatal(err)
	}
}

// forgotten waits until the engine has looked some times more for what Redis need not know, and returns how much that was in all.
func (s *stage) forgotten(looks int) int64 {
	s.t.Helper()
	seen := func() (int, int64) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.looks, s.evicted
	}
	before, _ := seen()
	testenv.Eventually(s.t, 5*time.Second, func() error {
		if now, _ := seen(); now < before+looks+1 {
			return errors.New("the engine has not looked yet")
		}
		return nil
	})
	_, n := seen()
	return n
}

// change opens an epoch in Redis, with one ticket for main.
func (s *stage) change(number int64) {
	s.t.Helper()
	ctx := s.t.Context()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ledger = epoch.Ledger{Epoch: number, Mode: epoch.Redis, NS: redisledger.NewNS()}
	err := s.redis.Load(ctx, s.ledger.Fence(), redisledger.Ballot{Name: "main", State: "open", Rules: 1}, true)
	if err != nil {
		s.t.Error(err)
	}
	if _, _, _, err = s.redis.Mint(ctx, s.ledger.Fence(), "main", redisledger.Mint{
		Number: 1, Version: "1.1.0", Value: "ticket", Cap: 10, Interval: time.Hour,
	}); err != nil {
		s.t.Error(err)
	}
}

// set changes how the stores behave.
func (s *stage) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *stage) cast(v *votev1.Vote) *votev1.Verdict {
	s.t.Helper()
	resp, err := s.engine.CastVotes(s.t.Context(), &votev1.CastVotesRequest{Votes: []*votev1.Vote{v}})
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.GetVerdicts()[0]
}

func (s *stage) votes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts, _, err := s.redis.Tally(s.t.Context(), s.ledger.Fence(), "main", []string{"A"})
	if err != nil {
		s.t.Fatal(err)
	}
	return counts[0].Votes
}

// left returns the uses that the ticket has left.
func (s *stage) left() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	state, err := s.redis.Ticket(s.t.Context(), s.ledger.Fence(), "main")
	if err != nil {
		s.t.Fatal(err)
	}
	return state.Newest.Left
}

func forA(key string) *votev1.Vote {
	return &votev1.Vote{
		IdempotencyKey: key,
		Permit:         &votev1.Vote_NewestTicket{NewestTicket: true},
		Choices:        []*votev1.Choice{{Candidate: "A", Count: 1}},
	}
}

func (s *stage) Current() (epoch.Ledger, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ledger, s.open
}

func (s *stage) Live(l epoch.Ledger) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open && s.live && l == s.ledger
}

func (s *stage) Suspect() {}

func (s *stage) Produce(_ context.Context, record *eventv1.VoteBatch, _ uint32) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sent, err := s.produce(record)
	if err == nil {
		s.logged = append(s.logged, record)
	}
	return sent, err
}

// modelStore is Postgres as far as these tests need it.
type modelStore struct{ *stage }

func (m modelStore) Ballots(context.Context) ([]pgledger.Ballot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	if m.frozen != nil {
		return m.frozen, nil
	}
	return slices.Clone(m.ballots), nil
}

func (m modelStore) Apply(_ context.Context, b pgledger.Batch) (pgledger.Result, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	verdict, err := m.apply(b.Events[0].VoteBatch)
	if verdict == pgledger.Applied {
		m.applied[b.Events[0].ID()] = true
	}
	return pgledger.Result{Verdicts: []pgledger.Verdict{verdict}}, err
}

func (m modelStore) Cast(context.Context, pgledger.CastBatch) (pgledger.CastResult, error) {
	return pgledger.CastResult{}, pgledger.ErrNotOpen
}

func (m modelStore) BatchApplied(_ context.Context, ids []uuid.UUID) (map[uuid.UUID]bool, pgledger.Epoch, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	found := map[uuid.UUID]bool{}
	for _, id := range ids {
		found[id] = m.applied[id]
	}
	return found, pgledger.Epoch{Number: m.ledger.Epoch}, nil
}

func (m modelStore) Lookup(context.Context, string, []uuid.UUID) (pgledger.Keys, error) {
	keys := pgledger.Keys{Lag: m.lag()}
	m.lookup()
	return keys, nil
}

func (m modelStore) BallotsNamed(_ context.Context, names []string) ([]pgledger.Ballot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.singles++
	if m.singlesFail {
		return nil, errAway
	}
	var found []pgledger.Ballot
	for _, b := range m.ballots {
		if slices.Contains(names, b.Name) {
			found = append(found, b)
		}
	}
	return found, nil
}

func (m modelStore) VotersOf(
	_ context.Context, _ *pgledger.Ballot, keys []pgledger.VoterKey,
) (map[pgledger.VoterKey][]uuid.UUID, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range keys {
		m.questions = append(m.questions, key.Candidate)
	}
	return maps.Clone(m.votesOf), nil
}

func (m modelStore) LastVote(_ context.Context, _, voter, candidate string) (*pgledger.VoterVote, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.questions = append(m.questions, candidate)
	votes := m.votesOf[pgledger.VoterKey{Voter: voter, Candidate: candidate}]
	if len(votes) == 0 {
		return nil, nil //nolint:nilnil // not found
	}
	return &pgledger.VoterVote{ID: votes[0], Voter: voter, Candidate: candidate}, nil
}

func (m modelStore) VoteOf(context.Context, string, uuid.UUID) (*pgledger.Vote, error) {
	return m.voteOf(), nil
}

func (m modelStore) Dropped(context.Context, string, uuid.UUID) (bool, error) { return false, nil }

func (m modelStore) Tallies(context.Context, string, []string) ([]pgledger.Tally, error) {
	return []pgledger.Tally{{Username: "A", Votes: 41}}, nil
}

func (m modelStore) ReadsFormat(context.Context) (int32, error) { return events.Format, nil }

// NameBallots says that those are new that Redis does not know.
func (m modelStore) NameBallots(ctx context.Context, _ int64, ballots []string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var made []string
	for _, b := range ballots {
		if m.redis.Alive(ctx, m.ledger.Fence(), b) != nil && !m.named[b] {
			m.named[b] = true
			made = append(made, b)
		}
	}
	return made, nil
}

func (m modelStore) StillOpen(context.Context, int64) error { return nil }
