package pgledger_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/pgledger"
)

// tellings is what casters were told, by code.
type tellings struct {
	mu    sync.Mutex
	votes map[pgledger.CastCode][]pgledger.CastVote
	sum   map[string]int64
}

func newTellings() *tellings {
	return &tellings{votes: map[pgledger.CastCode][]pgledger.CastVote{}, sum: map[string]int64{}}
}

func (l *tellings) note(b pgledger.CastBatch, r pgledger.CastResult) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, v := range r.Verdicts {
		l.votes[v.Code] = append(l.votes[v.Code], b.Votes[i])
		if v.Code == pgledger.CastOK {
			for j, name := range b.Votes[i].Candidates {
				l.sum[name] += b.Votes[i].Counts[j]
			}
		}
	}
}

// G2, G4, G7: many casters at once, the same keys among them. What they are told is what the ledger holds; the cap and the
// limit are reached and not passed.
func TestConcurrentCasts(t *testing.T) {
	t.Parallel()
	const (
		seed    = 4
		limit   = 300
		casters = 8
		voters  = 30
		perVote = 2
	)
	pool := newPgLedger(t)
	ticket := mintTicket(t, pool, "main", limit)
	run(t, pool, "UPDATE ballots SET votes_per_voter = $1 WHERE ballot = 'main'", perVote)
	keys := make([]pgledger.CastVote, 20)
	for i := range keys {
		keys[i] = keyed(by(fmt.Sprintf("keyed-%d", i), vote("A", "B")))
	}
	told := newTellings()
	var all sync.WaitGroup
	for caster := range casters {
		r := rand.New(rand.NewPCG(seed, uint64(caster)))
		all.Go(func() {
			for round := range 25 {
				b := castBatch("main", keys[(round+caster)%len(keys)])
				for range r.IntN(8) {
					b.Votes = append(b.Votes, by(fmt.Sprintf("voter-%d", r.IntN(voters)), vote([]string{"A", "B", "C"}[r.IntN(3)])))
				}
				for range r.IntN(4) {
					b.Votes = append(b.Votes, by(uuid.NewString(), vote("D")))
				}
				result, err := pgledger.Cast(t.Context(), pool, b)
				if err != nil {
					t.Errorf("cast: %v", err)
					return
				}
				told.note(b, result)
			}
		})
	}
	all.Wait()

	if diff := cmp.Diff(told.sum, votesOf(t, pool, "main")); diff != "" {
		t.Errorf("votes (-told +counted):\n%s", diff)
	}
	if ok := len(told.votes[pgledger.CastOK]); ok != limit {
		t.Errorf("%d votes were accepted, want the cap of %d: there was demand enough", ok, limit)
	}
	if used := query[int64](t, pool, "SELECT used FROM tickets WHERE version = $1", ticket.Version); used != limit {
		t.Errorf("%d uses, want %d", used, limit)
	}
	if n := query[int](t, pool, "SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM voter_votes GROUP BY voter) v"); n != perVote {
		t.Errorf("a voter has %d votes, want up to %d", n, perVote)
	}
	if n := query[int](t, pool, "SELECT count(DISTINCT vote_id) - count(DISTINCT (vote_id, batch_id)) FROM vote_logs"); n != 0 {
		t.Errorf("votes are in two batches")
	}
	if n := query[int](t, pool, "SELECT max(admission) - count(DISTINCT admission) FROM vote_logs"); n != 0 {
		t.Errorf("the admission numbers have gaps or come twice")
	}
	expectRecount(t, pool)
}

// Hole H9: the switch to the next epoch is a clean cut through the casts: who was told yes before is in what the switch sees,
// and whoever comes after is told that the epoch is over.
func TestCastsAcrossASwitch(t *testing.T) {
	t.Parallel()
	pool := newPgLedger(t)
	mintTicket(t, pool, "main", pgledger.NoCap)
	told := newTellings()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	started := make(chan struct{}, 100)
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			for {
				b := castBatch("main", vote("A"), vote("B", "A"))
				result, err := pgledger.Cast(ctx, pool, b)
				if errors.Is(err, pgledger.ErrNotOpen) {
					return
				}
				if err != nil {
					t.Errorf("cast: %v", err)
					return
				}
				told.note(b, result)
				select {
				case started <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 30 {
		<-started
	}
	openPg(t, pool, 2)
	base, err := pgledger.Base(t.Context(), pool, 2, "main")
	if err != nil {
		t.Fatal(err)
	}
	all.Wait()
	if diff := cmp.Diff(told.sum, base); diff != "" {
		t.Errorf("the switch saw (-told +seen):\n%s", diff)
	}
	if diff := cmp.Diff(base, votesOf(t, pool, "main")); diff != "" {
		t.Errorf("votes after the switch (-seen +now):\n%s", diff)
	}
	expectRecount(t, pool)
}

// Hole H3: a COMMIT without an answer is unknown; the same batch, cast again, is answered for and counts once.
func TestCastCommitUnknown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		at        string
		pass      bool
		unknown   bool
		committed bool
	}{
		"commit was sent, its reply is lost":    {"commit\x00", true, true, true},
		"commit was sent and lost":              {"commit\x00", false, true, false},
		"the connection broke before commit":    {"COPY vote_logs", true, false, false},
		"the connection broke in the last step": {"UPDATE pg_ballots", true, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := newPgLedger(t)
			mintTicket(t, pool, "main", 1)
			cut := connect(t, cutAt(t, pool.Config().ConnString(), c.at, c.pass))
			batch := castBatch("main", keyed(vote("A")), vote("B"))
			_, err := pgledger.Cast(t.Context(), cut, batch)
			if err == nil || pgledger.CommitUnknown(err) != c.unknown {
				t.Errorf("error is %v, want one with CommitUnknown %v", err, c.unknown)
			}
			// No waiting here: the second cast has to wait for the end of the first by itself.
			again := mustCast(t, pool, batch)
			want := []pgledger.CastCode{pgledger.CastOK, pgledger.CastExhausted}
			if c.committed {
				want[1] = pgledger.CastForgotten
			}
			if diff := cmp.Diff(want, codes(again)); diff != "" {
				t.Errorf("codes of the second (-want +got):\n%s", diff)
			}
			if v := again.Verdicts[0]; v.Admission != 1 || again.TicketVersion != "1.1.0" || again.At.IsZero() {
				t.Errorf("result of the second is %+v", again)
			}
			if diff := cmp.Diff(map[string]int64{"A": 1}, votesOf(t, pool, "main")); diff != "" {
				t.Errorf("votes (-want +got):\n%s", diff)
			}
			expectRecount(t, pool)
		})
	}
}

// A ballot's decisions do not wait for another ballot's.
func TestCastsOfOtherBallots(t *testing.T) {
	t.Parallel()
	pool := newPgLedger(t)
	mintTicket(t, pool, "main", 10)
	mintTicket(t, pool, "cast", 10)
	hold(t, pool, "SELECT FROM pg_ballots WHERE ballot = 'main' FOR UPDATE")
	expectCodes(t, mustCast(t, pool, castBatch("cast", vote("A"))), pgledger.CastOK)
}

// hold keeps a lock until the test ends.
func hold(t *testing.T, pool *pgxpool.Pool, statement string) {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	if _, err := tx.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}
