package pgledger_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/pgledger"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

// retractionBatch takes back the only vote of a batch.
func retractionBatch(of *eventv1.VoteBatch, first int64) *eventv1.VoteBatch {
	vote := of.GetVotes()[0]
	b := newBatch(of.GetBallot(), first, of.GetCandidates()...)
	b.Format, b.TicketVersion = 2, ""
	b.Votes[0].VoterId, b.Votes[0].Retracts, b.Votes[0].Deltas[0] = vote.GetVoterId(), vote.GetVoteId(), -1
	return b
}

// certify certifies without a key.
func certify(t testing.TB, pool *pgxpool.Pool, epoch int64, ballot string) (pgledger.BallotResult, error) {
	t.Helper()
	return pgledger.Certify(t.Context(), pool, epoch, ballot, pgledger.Certifier{
		Actor: "cli:test",
		Sign:  func(r *pgledger.BallotResult) (string, error) { return fmt.Sprintf("signed: %d", r.Votes), nil },
	})
}

func voterBatch(first int64, voter string) *eventv1.VoteBatch {
	b := newBatch("main", first, "A")
	b.Format = 2
	b.Votes[0].VoterId = voter
	return b
}

// Hole H19, the persister's half: what the result is fixed to is final.
func TestCertify(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	retracted := voterBatch(3, "user-1")
	mustApply(t, pool, newBatch("main", 1, "A", "B"), retracted, retractionBatch(retracted, 4), newBatch("cast", 1, "A"))

	if _, err := certify(t, pool, 1, "main"); !errors.Is(err, pgledger.ErrNotClosed) {
		t.Errorf("an open ballot: error is %v, want ErrNotClosed", err)
	}
	if _, err := pgledger.ResultOf(t.Context(), pool, "main"); !errors.Is(err, pgledger.ErrNotCertified) {
		t.Errorf("the result before: error is %v, want ErrNotCertified", err)
	}
	run(t, pool, "UPDATE ballots SET state = 'closed' WHERE ballot = 'main'")
	for _, epoch := range []int64{2, 0} {
		if _, err := certify(t, pool, epoch, "main"); !errors.Is(err, pgledger.ErrNotOpen) {
			t.Errorf("epoch %d: error is %v, want ErrNotOpen", epoch, err)
		}
	}
	setEpoch(t, pool, 1, "ending")
	if _, err := certify(t, pool, 1, "main"); !errors.Is(err, pgledger.ErrNotOpen) {
		t.Errorf("an ending epoch: error is %v, want ErrNotOpen", err)
	}
	setEpoch(t, pool, 1, "open")
	got, err := certify(t, pool, 1, "main")
	want := pgledger.BallotResult{
		Ballot: "main", Counts: map[string]int64{"A": 1, "B": 1}, Votes: 2, At: got.At, Signed: "signed: 2",
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Fatalf("result (-want +got), %v:\n%s", err, diff)
	}
	if v := mustApply(t, pool, newBatch("main", 5, "A")).Verdicts[0]; v != pgledger.Certified {
		t.Errorf("a late batch is %v", v)
	}
	// Again, in whatever epoch: the same answer.
	setEpoch(t, pool, 7, "ending")
	again, err := certify(t, pool, 1, "main")
	if diff := cmp.Diff(got, again); err != nil || diff != "" {
		t.Errorf("again (-want +got), %v:\n%s", err, diff)
	}
	if version := query[int64](t, pool, "SELECT rules_version FROM ballots WHERE ballot = 'main'"); version != 2 {
		t.Errorf("rules version is %d: nobody hears of the change", version)
	}
	if _, err := certify(t, pool, 7, "nowhere"); !errors.Is(err, pgledger.ErrUnknownBallot) {
		t.Errorf("error is %v, want ErrUnknownBallot", err)
	}
}

func TestResultsAreBounded(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	closeMain(t, pool)
	run(t, pool, `INSERT INTO user_votes (ballot, username, votes, version, updated_at)
		SELECT 'main', i, 0, 1, now() FROM generate_series(0, $1) i`, pgledger.MaxResultCandidates)
	if _, err := certify(t, pool, 1, "main"); !errors.Is(err, pgledger.ErrManyCandidates) {
		t.Error(err)
	}
	run(t, pool, "DELETE FROM user_votes WHERE username = '7'")
	if _, err := certify(t, pool, 1, "main"); err != nil {
		t.Error(err)
	}
}

func TestCertifyRefusesDrift(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]string{
		"a count is too high":     "UPDATE user_votes SET votes = votes + 1",
		"a count is gone":         "DELETE FROM user_votes WHERE username = 'B'",
		"a ledger row is gone":    "DELETE FROM vote_logs WHERE username = 'B'",
		"a count without a voter": "INSERT INTO user_votes VALUES ('main', 'C', 1, 1, now())",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := newLedger(t)
			mustApply(t, pool, newBatch("main", 1, "A", "B"))
			run(t, pool, "UPDATE ballots SET state = 'closed' WHERE ballot = 'main'")
			run(t, pool, spoil)
			if got, err := certify(t, pool, 1, "main"); !errors.Is(err, pgledger.ErrDrift) {
				t.Errorf("certified %+v, %v", got, err)
			}
			if n := count(t, pool, "results"); n != 0 {
				t.Errorf("%d results", n)
			}
		})
	}
}

// A batch that is applied between the recount and the lock is in the result.
func TestCertifyWaitsForApply(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	mustApply(t, pool, newBatch("main", 1, "A"))
	run(t, pool, "UPDATE ballots SET state = 'closed' WHERE ballot = 'main'")
	// Stands for an Apply that has its locks and has not committed.
	late, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = late.Rollback(t.Context()) }()
	batch := &pgx.Batch{}
	batch.Queue("SELECT FROM ballots WHERE ballot = 'main' FOR KEY SHARE")
	batch.Queue("UPDATE user_votes SET votes = 2, version = 2 WHERE ballot = 'main' AND username = 'A'")
	batch.Queue(`INSERT INTO vote_logs (vote_id, ballot, username, delta, ticket_version, voter, voted_at, epoch, admission, batch_id)
		VALUES ($1, 'main', 'A', 1, '1.7.0', '', now(), 1, 2, $1)`, uuid.Must(uuid.NewV7()))
	if err := late.SendBatch(t.Context(), batch).Close(); err != nil {
		t.Fatal(err)
	}
	type answer struct {
		result pgledger.BallotResult
		err    error
	}
	answered := make(chan answer, 1)
	go func() {
		result, err := certify(t, pool, 1, "main")
		answered <- answer{result, err}
	}()
	awaitBlocked(t, pool)
	if err := late.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := <-answered
	want := pgledger.BallotResult{Ballot: "main", Counts: map[string]int64{"A": 2}, Votes: 2, At: got.result.At, Signed: "signed: 2"}
	if diff := cmp.Diff(want, got.result); got.err != nil || diff != "" {
		t.Errorf("result (-want +got), %v:\n%s", got.err, diff)
	}
}
