package pgledger_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/pgledger"
)

// propose writes a void of main down.
func propose(t testing.TB, pool *pgxpool.Pool, first, last int64) pgledger.Void {
	t.Helper()
	v, err := pgledger.ProposeVoid(t.Context(), pool, pgledger.Void{
		ID: uuid.New(), Ballot: "main", First: first, Last: last, Reason: "bots", ProposedBy: "cli:anna",
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func approve(t testing.TB, pool *pgxpool.Pool, void uuid.UUID, actor string) (pgledger.Void, error) {
	t.Helper()
	return pgledger.ApproveVoid(t.Context(), pool, pgledger.Approval{
		Ballot: "main", Void: void, Actor: actor, Epoch: 1, Admissions: 10,
	})
}

func mustApprove(t testing.TB, pool *pgxpool.Pool, void uuid.UUID) pgledger.Void {
	t.Helper()
	v, err := approve(t, pool, void, "cli:bob")
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func closeMain(t testing.TB, pool *pgxpool.Pool) {
	t.Helper()
	run(t, pool, "UPDATE ballots SET state = 'closed' WHERE ballot = 'main'")
}

func hasTallies(t testing.TB, pool *pgxpool.Pool, want map[string]int64) {
	t.Helper()
	tallies, err := pgledger.Tallies(t.Context(), pool, "main", nil)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, c := range tallies {
		got[c.Username] = c.Votes
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

// What a void takes out is what counts in its range: not what was retracted before, nor what another void took.
func TestVoidsTakeEachVoteOutOnce(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	retracted, kept := voterBatch(4, "user-1"), voterBatch(5, "user-2")
	mustApply(t, pool, newBatch("main", 1, "A", "B", "A"), retracted, kept, retractionBatch(retracted, 6),
		newBatch("cast", 1, "A", "A"), newBatch("main", 7, "C"))
	closeMain(t, pool)
	hasTallies(t, pool, map[string]int64{"A": 3, "B": 1, "C": 1})

	first, second := propose(t, pool, 2, 5), propose(t, pool, 1, 6)
	hasTallies(t, pool, map[string]int64{"A": 3, "B": 1, "C": 1}) // proposed is not approved
	if v := mustApprove(t, pool, first.ID); v.Votes != 3 || v.ApprovedBy != "cli:bob" || v.ApprovedAt.IsZero() {
		t.Errorf("the void is %+v, want 3 votes", v)
	}
	hasTallies(t, pool, map[string]int64{"A": 1, "B": 0, "C": 1})
	if v := mustApprove(t, pool, second.ID); v.Votes != 1 {
		t.Errorf("the one that overlaps is %+v, want 1 vote", v)
	}
	hasTallies(t, pool, map[string]int64{"A": 0, "B": 0, "C": 1})
	if v := mustApprove(t, pool, propose(t, pool, 1, 6).ID); v.Votes != 0 {
		t.Errorf("one that finds nothing is %+v", v)
	}
	expectRecount(t, pool)
	if diffs, err := pgledger.SelfCheck(t.Context(), pool, 1, "main"); err != nil || len(diffs) > 0 {
		t.Errorf("the counts are not base and ledger: %v, %v", diffs, err)
	}
	vote := uuid.UUID(kept.GetVotes()[0].GetVoteId())
	if v, err := pgledger.VoteOf(t.Context(), pool, "main", vote); err != nil || !v.Void || !v.Retracted {
		t.Errorf("a voided vote is %+v, %v", v, err)
	}
	if has, err := pgledger.HasVote(t.Context(), pool, "main", "user-2"); err != nil || has {
		t.Errorf("a voter's voided vote counts: %v, %v", has, err)
	}
	admissions, counts, err := pgledger.VoidedCounts(t.Context(), pool, "main")
	if err != nil || admissions != 12 || len(counts) != 3 { // above the 10 that Redis gave: one for each that found something
		t.Errorf("counts as of %d: %v, %v", admissions, counts, err)
	}

	result, err := certify(t, pool, 1, "main")
	if err != nil {
		t.Fatal(err)
	}
	if result.Votes != 1 || result.Voided != 4 || len(result.Voids) != 3 || result.Counts["C"] != 1 || result.Counts["A"] != 0 {
		t.Errorf("the result is %+v", result)
	}
	expectRecount(t, pool)
}

func TestVoidsNeedAClosedBallotAndItsEpoch(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	mustApply(t, pool, newBatch("main", 1, "A"))
	v := pgledger.Void{ID: uuid.New(), Ballot: "main", First: 1, Last: 1, Reason: "bots", ProposedBy: "cli:anna"}
	if _, err := pgledger.ProposeVoid(t.Context(), pool, v); !errors.Is(err, pgledger.ErrNotClosed) {
		t.Errorf("of an open ballot: %v", err)
	}
	unknown := v
	unknown.Ballot = "none"
	if _, err := pgledger.ProposeVoid(t.Context(), pool, unknown); !errors.Is(err, pgledger.ErrUnknownBallot) {
		t.Errorf("of no ballot: %v", err)
	}
	closeMain(t, pool)
	v = propose(t, pool, 1, 1)
	setEpoch(t, pool, 2, "open")
	if _, err := approve(t, pool, v.ID, "cli:bob"); !errors.Is(err, pgledger.ErrNotOpen) {
		t.Errorf("in another epoch: %v", err)
	}
	setEpoch(t, pool, 1, "ending")
	if _, err := approve(t, pool, v.ID, "cli:bob"); !errors.Is(err, pgledger.ErrNotOpen) {
		t.Errorf("in an epoch that ends: %v", err)
	}
	setEpoch(t, pool, 1, "open")
	if _, err := approve(t, pool, uuid.New(), "cli:bob"); !errors.Is(err, pgledger.ErrUnknownVoid) {
		t.Errorf("an unknown one: %v", err)
	}
	if _, err := certify(t, pool, 1, "main"); err != nil {
		t.Fatal(err)
	}
	if _, err := approve(t, pool, v.ID, "cli:bob"); !errors.Is(err, pgledger.ErrNotClosed) {
		t.Errorf("of a certified ballot: %v", err)
	}
	if _, err := pgledger.ProposeVoid(t.Context(), pool, v); err != nil {
		t.Errorf("the same again, of a ballot that is certified by now: %v", err)
	}
	hasTallies(t, pool, map[string]int64{"A": 1})
}

// Whoever proposed may not approve, whatever the code believes: Postgres itself refuses it.
func TestNobodyApprovesTheirOwnVoid(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	mustApply(t, pool, newBatch("main", 1, "A"))
	closeMain(t, pool)
	v := propose(t, pool, 1, 1)
	if _, err := approve(t, pool, v.ID, "cli:anna"); !errors.Is(err, pgledger.ErrSelfApproval) {
		t.Errorf("error is %v, want ErrSelfApproval", err)
	}
	_, err := pool.Exec(t.Context(), "UPDATE voids SET approved_by = proposed_by")
	if err == nil || !strings.Contains(err.Error(), "check constraint") {
		t.Errorf("by hand: %v", err)
	}
	hasTallies(t, pool, map[string]int64{"A": 1})
}

func TestTheSameVoidAgainIsFound(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	run(t, pool, "UPDATE ballots SET state = 'closed'")
	v := propose(t, pool, 1, 2)
	again, err := pgledger.ProposeVoid(t.Context(), pool, v)
	if diff := cmp.Diff(v, again); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	for what, change := range map[string]func(*pgledger.Void){
		"first": func(v *pgledger.Void) { v.First = 2 }, "last": func(v *pgledger.Void) { v.Last = 3 },
		"reason": func(v *pgledger.Void) { v.Reason = "x" }, "actor": func(v *pgledger.Void) { v.ProposedBy = "cli:bob" },
		"ballot": func(v *pgledger.Void) { v.Ballot = "cast" },
	} {
		other := v
		change(&other)
		if _, err := pgledger.ProposeVoid(t.Context(), pool, other); !errors.Is(err, pgledger.ErrVoidTaken) {
			t.Errorf("another %s: %v", what, err)
		}
	}
	if all, err := pgledger.Voids(t.Context(), pool, "main"); err != nil || len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
}

func TestVoidsOfABallotAreBounded(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	closeMain(t, pool)
	run(t, pool, `INSERT INTO voids (void_id, ballot, first_admission, last_admission, reason, proposed_by)
		SELECT gen_random_uuid(), 'main', 1, 1, 'r', 'a' FROM generate_series(1, $1)`, pgledger.MaxVoids)
	_, err := pgledger.ProposeVoid(t.Context(), pool, pgledger.Void{
		ID: uuid.New(), Ballot: "main", First: 1, Last: 1, Reason: "bots", ProposedBy: "cli:anna",
	})
	if !errors.Is(err, pgledger.ErrManyVoids) {
		t.Error(err)
	}
	if n := count(t, pool, "voids"); n != pgledger.MaxVoids {
		t.Errorf("%d voids", n)
	}
}

// Many approve at once, of two voids that overlap: each vote is taken out once, and each approval leaves one entry.
func TestConcurrentApprovalsHaveOneEffect(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	mustApply(t, pool, newBatch("main", 1, "A", "A", "A", "B"))
	closeMain(t, pool)
	voids := []uuid.UUID{propose(t, pool, 1, 2).ID, propose(t, pool, 2, 3).ID}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if _, err := approve(t, pool, voids[i%2], fmt.Sprintf("cli:%d", i)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	hasTallies(t, pool, map[string]int64{"A": 0, "B": 1})
	expectRecount(t, pool)
	if n := query[int](t, pool, "SELECT count(*) FROM audit WHERE action = 'approve-void'"); n != 2 {
		t.Errorf("%d entries for 2 approvals", n)
	}
	if n := query[int64](t, pool, "SELECT sum(votes)::bigint FROM voids"); n != 3 {
		t.Errorf("the voids took %d votes out, want 3", n)
	}
}
