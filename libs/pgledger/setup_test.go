package pgledger_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/config"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/testenv"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

// newLedger is a migrated database with epoch 1 open.
func newLedger(t testing.TB) *pgxpool.Pool {
	t.Helper()
	url := testenv.Postgres(t)
	migrate(t, url)
	pool := connect(t, url)
	setEpoch(t, pool, 1, "open")
	return pool
}

func migrate(t testing.TB, url string) {
	t.Helper()
	if err := pgledger.Migrate(t.Context(), url, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
}

func connect(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	cfg := config.DefaultPostgres()
	cfg.URL = url
	pool, err := pgledger.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func setEpoch(t testing.TB, pool *pgxpool.Pool, epoch int64, state string) {
	t.Helper()
	run(t, pool, `
		INSERT INTO ledger_epoch (epoch, mode, state, ns, replid, replicated, reason)
		VALUES ($1, 'redis', $2, 'ns', '', false, 'test')
		ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch, state = excluded.state`, epoch, state)
}

func run(t testing.TB, pool *pgxpool.Pool, statement string, args ...any) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), statement, args...); err != nil {
		t.Fatal(err)
	}
}

func query[T any](t testing.TB, pool *pgxpool.Pool, statement string, args ...any) T {
	t.Helper()
	rows, err := pool.Query(t.Context(), statement, args...)
	if err != nil {
		t.Fatal(err)
	}
	value, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func count(t testing.TB, pool *pgxpool.Pool, table string) int {
	t.Helper()
	return query[int](t, pool, "SELECT count(*) FROM "+table)
}

// expectEmpty asserts that no transaction has left anything.
func expectEmpty(t testing.TB, pool *pgxpool.Pool) {
	t.Helper()
	for _, table := range []string{"vote_logs", "user_votes", "tickets", "vote_keys", "applied_batches", "dropped_batches"} {
		if n := count(t, pool, table); n != 0 {
			t.Errorf("%s has %d rows, want none", table, n)
		}
	}
}

func expectRecount(t testing.TB, pool *pgxpool.Pool) {
	t.Helper()
	report, err := pgledger.Recount(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	if !report.OK() {
		t.Errorf("the recount differs: %+v", report)
	}
}

func votesOf(t testing.TB, pool *pgxpool.Pool, ballot string) map[string]int64 {
	t.Helper()
	tallies, err := pgledger.Tallies(t.Context(), pool, ballot, nil)
	if err != nil {
		t.Fatal(err)
	}
	votes := map[string]int64{}
	for _, tally := range tallies {
		votes[tally.Username] = tally.Votes
	}
	return votes
}

func eventually(t testing.TB, check func() error) {
	t.Helper()
	testenv.Eventually(t, 10*time.Second, check)
}

func apply(ctx context.Context, pool *pgxpool.Pool, batches ...*eventv1.VoteBatch) (pgledger.Result, error) {
	return pgledger.Apply(ctx, pool, pgledger.Batch{Events: eventsOf(batches...)})
}

func mustApply(t testing.TB, pool *pgxpool.Pool, batches ...*eventv1.VoteBatch) pgledger.Result {
	t.Helper()
	result, err := apply(t.Context(), pool, batches...)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func eventsOf(batches ...*eventv1.VoteBatch) []pgledger.Event {
	events := make([]pgledger.Event, len(batches))
	for i, b := range batches {
		events[i].VoteBatch = b
	}
	return events
}

// newBatch is a batch of epoch 1 with one vote for each of the names.
func newBatch(ballot string, first int64, names ...string) *eventv1.VoteBatch {
	id := uuid.Must(uuid.NewV7())
	b := &eventv1.VoteBatch{
		Format: 1, BatchId: id[:], Epoch: 1, Ballot: ballot, AdmittedAtMs: time.Now().UnixMilli(),
		TicketVersion: "1.7.0", FirstAdmissionNumber: first,
	}
	for i, name := range names {
		vote := uuid.New()
		b.Candidates = append(b.Candidates, name)
		b.Votes = append(b.Votes, &eventv1.VoteEvent{VoteId: vote[:], Candidates: []uint32{uint32(i)}, Deltas: []int64{1}})
	}
	return b
}

// randomBatch has up to 40 votes of up to 5 choices each, a third of them with a key.
func randomBatch(r *rand.Rand, ballot string, first int64) *eventv1.VoteBatch {
	b := newBatch(ballot, first, "A", "B", "C", "D", "E", "F", "G")
	b.Votes = nil
	b.TicketVersion = []string{"1.1.0", "1.2.0", "1.3.0"}[r.IntN(3)]
	for range 1 + r.IntN(40) {
		vote := uuid.New()
		v := &eventv1.VoteEvent{VoteId: vote[:], Voter: "someone"}
		for range 1 + r.IntN(5) {
			v.Candidates = append(v.Candidates, r.Uint32N(uint32(len(b.GetCandidates()))))
			v.Deltas = append(v.Deltas, []int64{1, 1, 1, 3, -1}[r.IntN(5)])
		}
		if r.IntN(3) == 0 {
			v.BodyHash = make([]byte, 16)
		}
		b.Votes = append(b.Votes, v)
	}
	return b
}

// votersOf is VotersOf of voters of main.
func votersOf(t testing.TB, pool *pgxpool.Pool, voters ...string) (map[string][]uuid.UUID, error) {
	t.Helper()
	keys := make([]pgledger.VoterKey, len(voters))
	for i, voter := range voters {
		keys[i].Voter = voter
	}
	found, err := pgledger.VotersOf(t.Context(), pool, &pgledger.Ballot{Name: "main"}, keys)
	votes := map[string][]uuid.UUID{}
	for key, ids := range found {
		votes[key.Voter] = ids
	}
	return votes, err
}
