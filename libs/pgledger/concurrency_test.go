package pgledger_test

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/pgledger"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

// Hole H24, and G2 as a property: whatever is applied, in whatever order, by however many at once and how often, each
// batch counts once and the tallies are the sum of the ledger.
func TestTallyEqualsRecount(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))

	var batches []*eventv1.VoteBatch
	want := map[string]map[string]int64{"main": {}, "cast": {}}
	for i := range 120 {
		b := randomBatch(r, []string{"main", "cast"}[r.IntN(2)], int64(1+i*1000))
		batches = append(batches, b)
		for _, v := range b.GetVotes() {
			for j, c := range v.GetCandidates() {
				want[b.GetBallot()][b.GetCandidates()[c]] += v.GetDeltas()[j]
			}
		}
	}
	var applied atomic.Int64
	var appliers sync.WaitGroup
	for worker := range 6 {
		order := rand.New(rand.NewPCG(seed, uint64(worker+1)))
		appliers.Go(func() {
			mine := append(batches[:len(batches):len(batches)], batches[:40]...) // some twice by the same applier
			order.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
			for len(mine) > 0 {
				n := min(1+order.IntN(20), len(mine))
				result, err := apply(t.Context(), pool, mine[:n]...)
				if err != nil {
					t.Errorf("apply: %v", err)
					return
				}
				for _, v := range result.Verdicts {
					if v == pgledger.Applied {
						applied.Add(1)
					}
				}
				mine = mine[n:]
			}
		})
	}
	appliers.Wait()

	if applied.Load() != int64(len(batches)) {
		t.Errorf("%d batches were applied, want %d", applied.Load(), len(batches))
	}
	for ballot, votes := range want {
		if diff := cmp.Diff(votes, votesOf(t, pool, ballot)); diff != "" {
			t.Errorf("votes of %s (-want +got):\n%s", ballot, diff)
		}
	}
	expectRecount(t, pool)
}

// Hole H5: a change of epoch that has begun to commit is final for a batch that comes at the same moment.
func TestApplyWaitsForAChangeOfEpoch(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	change, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = change.Rollback(t.Context()) }()
	if _, err := change.Exec(t.Context(), "UPDATE ledger_epoch SET epoch = 2"); err != nil {
		t.Fatal(err)
	}
	verdict := applyInBackground(t, pool, newBatch("main", 1, "A"))
	awaitBlocked(t, pool)
	if err := change.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v := <-verdict; v != pgledger.EpochOver {
		t.Errorf("verdict is %v, want EpochOver", v)
	}
	if n := count(t, pool, "vote_logs"); n != 0 {
		t.Errorf("%d ledger rows of an epoch that is over", n)
	}
}

// The same for a certification (hole H19).
func TestApplyWaitsForACertification(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	certify, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = certify.Rollback(t.Context()) }()
	if _, err := certify.Exec(t.Context(), "SELECT FROM ballots WHERE ballot = 'main' FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	verdict := applyInBackground(t, pool, newBatch("main", 1, "A"))
	awaitBlocked(t, pool)
	if _, err := certify.Exec(t.Context(), "UPDATE ballots SET state = 'certified' WHERE ballot = 'main'"); err != nil {
		t.Fatal(err)
	}
	if err := certify.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v := <-verdict; v != pgledger.Certified {
		t.Errorf("verdict is %v, want Certified", v)
	}
}

func TestApplyRetriesADeadlock(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	run(t, pool, `
		CREATE SEQUENCE tries;
		CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF nextval('tries') < 3 THEN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END IF;
			RETURN NEW;
		END $$;
		CREATE TRIGGER stumble BEFORE INSERT ON user_votes FOR EACH ROW EXECUTE FUNCTION stumble()`)
	if v := mustApply(t, pool, newBatch("main", 1, "A")).Verdicts[0]; v != pgledger.Applied {
		t.Errorf("verdict is %v: the attempts that were undone do not make it a duplicate", v)
	}
	expectRecount(t, pool)

	run(t, pool, "DROP SEQUENCE tries CASCADE; CREATE SEQUENCE tries MINVALUE -100")
	if _, err := apply(t.Context(), pool, newBatch("main", 2, "A")); err == nil || pgledger.CommitUnknown(err) {
		t.Errorf("error is %v, want the deadlock after a bounded number of attempts", err)
	}
}

func applyInBackground(t *testing.T, pool *pgxpool.Pool, batch *eventv1.VoteBatch) <-chan pgledger.Verdict {
	t.Helper()
	verdict := make(chan pgledger.Verdict, 1)
	go func() {
		result, err := apply(t.Context(), pool, batch)
		if err != nil {
			t.Errorf("apply: %v", err)
			result.Verdicts = []pgledger.Verdict{0}
		}
		verdict <- result.Verdicts[0]
	}()
	return verdict
}

// awaitBlocked waits until some connection to the database waits for a lock.
func awaitBlocked(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	eventually(t, func() error {
		if query[int](t, pool, `
			SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock'`) == 0 {
			return errors.New("nobody waits for a lock")
		}
		return nil
	})
}
