package pgledger_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/pgledger"
)

// newPgLedger is a migrated database with epoch 1 open in Postgres.
func newPgLedger(t testing.TB) *pgxpool.Pool {
	t.Helper()
	pool := newLedger(t)
	openPg(t, pool, 1)
	return pool
}

func openPg(t testing.TB, pool *pgxpool.Pool, epoch int64) {
	t.Helper()
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), "LOCK TABLE ledger_epoch IN EXCLUSIVE MODE"); err != nil {
			return err
		}
		if _, err := tx.Exec(t.Context(), "UPDATE ledger_epoch SET epoch = $1, mode = 'pg', state = 'open'", epoch); err != nil {
			return err
		}
		return errors.Join(pgledger.OpenPg(t.Context(), tx, epoch), pgledger.WriteBase(t.Context(), tx, epoch))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// mintTicket makes the next ticket of epoch 1, valid for a minute.
func mintTicket(t testing.TB, pool *pgxpool.Pool, ballot string, limit int64) *pgledger.Ticket {
	t.Helper()
	mintFor(t, pool, ballot, limit, time.Minute)
	state := ticketState(t, pool, ballot)
	if state.Newest == nil {
		t.Fatal("no ticket after minting one")
	}
	return state.Newest
}

func mintFor(t testing.TB, pool *pgxpool.Pool, ballot string, limit int64, interval time.Duration) pgledger.Minted {
	t.Helper()
	state := ticketState(t, pool, ballot)
	number := state.LastNumber + 1
	done, _, _, err := pgledger.MintTicket(t.Context(), pool, 1, ballot, pgledger.Mint{
		Number: number, Version: version(number), Value: "value-" + version(number), Cap: limit, Interval: interval,
	})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func ticketState(t testing.TB, pool *pgxpool.Pool, ballot string) pgledger.TicketState {
	t.Helper()
	state, err := pgledger.ReadTicket(t.Context(), pool, 1, ballot)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// vote is a vote with the newest ticket, one for each of the names.
func vote(names ...string) pgledger.CastVote {
	counts := make([]int64, len(names))
	for i := range counts {
		counts[i] = 1
	}
	return pgledger.CastVote{ID: uuid.Must(uuid.NewV7()), Candidates: names, Counts: counts}
}

func keyed(v pgledger.CastVote) pgledger.CastVote {
	v.Keyed, v.BodyHash = true, [16]byte{1}
	return v
}

func by(voter string, v pgledger.CastVote) pgledger.CastVote {
	v.Voter = voter
	return v
}

// retraction takes back a vote for one candidate.
func retraction(of pgledger.CastVote) pgledger.CastVote {
	v := vote()
	v.Voter, v.Retracts = of.Voter, of.ID
	for i, n := range of.Counts {
		if n > 0 { // of a change what it gave
			v.Candidates, v.Counts = append(v.Candidates, of.Candidates[i]), append(v.Counts, -n)
		}
	}
	return v
}

// change takes back what a vote gave, and gives what another one does.
func change(of, v pgledger.CastVote) pgledger.CastVote {
	back := retraction(of)
	v.Voter, v.Retracts, v.Replaces = of.Voter, of.ID, true
	v.Candidates, v.Counts = append(back.Candidates, v.Candidates...), append(back.Counts, v.Counts...)
	return v
}

func castBatch(ballot string, votes ...pgledger.CastVote) pgledger.CastBatch {
	return pgledger.CastBatch{Epoch: 1, ID: uuid.Must(uuid.NewV7()), Ballot: ballot, Votes: votes}
}

func mustCast(t testing.TB, pool *pgxpool.Pool, b pgledger.CastBatch) pgledger.CastResult {
	t.Helper()
	result, err := pgledger.Cast(t.Context(), pool, b)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func codes(r pgledger.CastResult) []pgledger.CastCode {
	out := make([]pgledger.CastCode, len(r.Verdicts))
	for i, v := range r.Verdicts {
		out[i] = v.Code
	}
	return out
}

func expectCodes(t testing.TB, r pgledger.CastResult, want ...pgledger.CastCode) {
	t.Helper()
	if diff := cmp.Diff(want, codes(r)); diff != "" {
		t.Errorf("codes (-want +got):\n%s", diff)
	}
}

func TestCastWritesTheWholeEffect(t *testing.T) {
	t.Parallel()
	pool := newPgLedger(t)
	ticket := mintTicket(t, pool, "main", 1000)
	first, second := vote("A"), keyed(vote("B", "A", "B"))
	second.Counts = []int64{2, 1, 3}
	first.Ticket, first.Label, first.Voter = ticket.Value, "Zoë", "user-1"
	before := time.Now().Add(-time.Minute)
	batch := castBatch("main", first, second)
	result := mustCast(t, pool, batch)

	want := []pgledger.CastVerdict{
		{Code: pgledger.CastOK, Totals: []int64{1}, Admission: 1},
		{Code: pgledger.CastOK, Totals: []int64{2, 2, 5}, Admission: 2},
	}
	if diff := cmp.Diff(want, result.Verdicts); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
	if result.TicketVersion != "1.1.0" || result.At.Before(before) {
		t.Errorf("result is %+v", result)
	}
	got, err := pgledger.VoteOf(t.Context(), pool, "main", first.ID)
	wantVote := &pgledger.Vote{
		ID: first.ID, Batch: batch.ID, Epoch: 1, Admission: 1, At: result.At, Voter: "user-1", Label: "Zoë",
		Choices: []pgledger.Choice{{"A", 1}},
	}
	if diff := cmp.Diff(wantVote, got); err != nil || diff != "" {
		t.Errorf("vote (-want +got), %v:\n%s", err, diff)
	}
	if left := ticketState(t, pool, "main").Newest.Left; left != 998 {
		t.Errorf("%d uses left, want 998", left)
	}
	if n := count(t, pool, "vote_keys"); n != 1 {
		t.Errorf("%d keys, want that of one vote", n)
	}
	expectRecount(t, pool)

	third := mustCast(t, pool, castBatch("main", vote("A")))
	if v := third.Verdicts[0]; v.Admission != 3 || v.Totals[0] != 3 {
		t.Errorf("verdict is %+v, want the next number and total", v)
	}
}

// The numbers go on where those of the epochs before ended.
func TestCastNumbersOn(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	mustApply(t, pool, newBatch("main", 41, "A", "B"))
	openPg(t, pool, 2)
	run(t, pool, "INSERT INTO ballots (ballot, ticket_interval_ms) VALUES ('late', 2000)")
	for ballot, want := range map[string]int64{"main": 43, "late": 1} {
		done, _, _, err := pgledger.MintTicket(t.Context(), pool, 2, ballot,
			pgledger.Mint{Number: 1, Version: "2.1.0", Value: "v", Cap: pgledger.NoCap, Interval: time.Minute})
		if err != nil || done != pgledger.MintDone {
			t.Fatalf("mint: %v, %v", done, err)
		}
		b := castBatch(ballot, vote("A"))
		b.Epoch = 2
		if got := mustCast(t, pool, b).Verdicts[0]; got.Code != pgledger.CastOK || got.Admission != want {
			t.Errorf("%s: verdict is %+v, want admission %d", ballot, got, want)
		}
	}
	expectRecount(t, pool)
}

func TestCastNeedsItsEpoch(t *testing.T) {
	t.Parallel()
	pool := newPgLedger(t)
	mintTicket(t, pool, "main", 10)
	for name, change := range map[string]string{
		"another epoch": "UPDATE ledger_epoch SET epoch = 2, mode = 'pg', state = 'open'",
		"in Redis":      "UPDATE ledger_epoch SET epoch = 1, mode = 'redis', state = 'open'",
		"ending":        "UPDATE ledger_epoch SET epoch = 1, mode = 'pg', state = 'ending'",
		"none":          "DELETE FROM ledger_epoch",
	} {
		run(t, pool, change)
		if _, err := pgledger.Cast(t.Context(), pool, castBatch("main", vote("A"))); !errors.Is(err, pgledger.ErrNotOpen) {
			t.Errorf("%s: error is %v, want ErrNotOpen", name, err)
		}
		if _, _, _, err := pgledger.MintTicket(t.Context(), pool, 1, "main", pgledger.Mint{Number: 2}); !errors.Is(err, pgledger.ErrNotOpen) {
			t.Errorf("%s: minting says %v, want ErrNotOpen", name, err)
		}
		if _, err := pgledger.ReadTicket(t.Context(), pool, 1, "main"); !errors.Is(err, pgledger.ErrNotOpen) {
			t.Errorf("%s: reading the ticket says %v, want ErrNotOpen", name, err)
		}
		setEpoch(t, pool, 1, "open")
	}
	openPg(t, pool, 1)
	if _, err := pgledger.Cast(t.Context(), pool, castBatch("nowhere", vote("A"))); !errors.Is(err, pgledger.ErrUnknownBallot) {
		t.Errorf("error is %v, want ErrUnknownBallot", err)
	}
	if n := count(t, pool, "vote_logs") + count(t, pool, "applied_batches"); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}
