package pgledger_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/littlevote/littlevote/libs/pgledger"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

func TestS22ApplyWritesTheWholeEffect(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	at := time.Date(2026, time.November, 21, 10, 11, 12, 345_000_000, time.UTC)
	batch := newBatch("main", 100, "A", "B")
	batch.AdmittedAtMs = at.UnixMilli()
	batch.TicketVersion = "1.9.2"
	batch.Votes[0].Voter = "Zoë"
	voter := "user-1"
	batch.Votes[0].VoterId = voter
	// B twice in one vote counts twice, in one row.
	batch.Votes[1].Candidates, batch.Votes[1].Deltas = []uint32{1, 0, 1}, []int64{2, 1, 3}
	batch.Votes[1].BodyHash = []byte("0123456789abcdef")

	result := mustApply(t, pool, batch)
	if result.Rows != 3 || result.Epoch.Number != 1 || result.Epoch.Mode != "redis" {
		t.Errorf("result is %+v", result)
	}

	type row struct {
		VoteID        uuid.UUID
		Ballot        string
		Username      string
		Delta         int64
		TicketVersion string
		Voter         string
		VotedAt       time.Time
		Epoch         int64
		Admission     int64
		BatchID       uuid.UUID
		Retracts      *uuid.UUID
		VoterID       *string
		VoidID        *uuid.UUID
	}
	rows, err := pool.Query(t.Context(), "SELECT * FROM vote_logs ORDER BY admission, username")
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		t.Fatal(err)
	}
	id, first, second := uuid.UUID(batch.GetBatchId()), uuid.UUID(batch.GetVotes()[0].GetVoteId()), uuid.UUID(batch.GetVotes()[1].GetVoteId())
	want := []row{
		{first, "main", "A", 1, "1.9.2", "Zoë", at, 1, 100, id, nil, &voter, nil},
		{second, "main", "A", 1, "1.9.2", "", at, 1, 101, id, nil, nil, nil},
		{second, "main", "B", 5, "1.9.2", "", at, 1, 101, id, nil, nil, nil},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ledger rows (-want +got):\n%s", diff)
	}

	tallies, err := pgledger.Tallies(t.Context(), pool, "main", []string{"B", "A", "Q"})
	if err != nil {
		t.Fatal(err)
	}
	wantTallies := []pgledger.Tally{{"A", 2, 101, at}, {"B", 5, 101, at}}
	if diff := cmp.Diff(wantTallies, tallies); diff != "" {
		t.Errorf("tallies (-want +got):\n%s", diff)
	}
	if used := query[int64](t, pool, "SELECT used FROM tickets WHERE ballot = 'main' AND version = '1.9.2'"); used != 2 {
		t.Errorf("ticket has %d uses, want 2", used)
	}
	if n := count(t, pool, "vote_keys"); n != 1 {
		t.Errorf("%d keys, want 1: only the vote that came with one", n)
	}
	expectRecount(t, pool)
}

func TestApplyIsIdempotentByBatchID(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	one, two := newBatch("main", 1, "A"), newBatch("main", 2, "A", "B")
	first := mustApply(t, pool, one, two, one)
	if diff := cmp.Diff([]pgledger.Verdict{pgledger.Applied, pgledger.Applied, pgledger.Duplicate}, first.Verdicts); diff != "" {
		t.Errorf("first time (-want +got):\n%s", diff)
	}
	three := newBatch("main", 4, "B")
	again := mustApply(t, pool, two, three, one)
	if diff := cmp.Diff([]pgledger.Verdict{pgledger.Duplicate, pgledger.Applied, pgledger.Duplicate}, again.Verdicts); diff != "" {
		t.Errorf("second time (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int64{"A": 2, "B": 2}, votesOf(t, pool, "main")); diff != "" {
		t.Errorf("votes (-want +got):\n%s", diff)
	}
	if n := count(t, pool, "vote_logs"); n != 4 {
		t.Errorf("%d ledger rows, want 4", n)
	}
	expectRecount(t, pool)
}

// Hole H17: the log may hold a retraction before the vote it retracts.
func TestApplyTakesARetractionFirst(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	like, unlike := newBatch("main", 1, "A"), newBatch("main", 2, "A")
	unlike.Votes[0].Deltas[0] = -1
	mustApply(t, pool, unlike)
	mustApply(t, pool, like)
	tallies, err := pgledger.Tallies(t.Context(), pool, "main", nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(tallies) != 1 || tallies[0].Votes != 0 || tallies[0].Version != 2 {
		t.Errorf("tallies are %+v, want 0 votes at version 2, the highest admission number", tallies)
	}
	expectRecount(t, pool)
}

func TestApplyOfAnOverEpoch(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	inTime, late, silent := newBatch("main", 1, "A"), newBatch("main", 2, "A"), newBatch("main", 3, "A")
	mustApply(t, pool, inTime)
	setEpoch(t, pool, 2, "open")

	events := eventsOf(late, inTime, silent)
	events[0].Record, events[1].Record = []byte("record of late"), []byte("record of in time")
	result, err := pgledger.Apply(t.Context(), pool, pgledger.Batch{Events: events})
	if err != nil {
		t.Fatal(err)
	}
	want := []pgledger.Verdict{pgledger.EpochOver, pgledger.Duplicate, pgledger.EpochOver}
	if diff := cmp.Diff(want, result.Verdicts); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
	if result.Epoch.Number != 2 {
		t.Errorf("epoch is %+v, want 2", result.Epoch)
	}
	if diff := cmp.Diff(map[string]int64{"A": 1}, votesOf(t, pool, "main")); diff != "" {
		t.Errorf("votes (-want +got):\n%s", diff)
	}
	kept := query[string](t, pool, "SELECT reason || ': ' || convert_from(record, 'UTF8') FROM dropped_batches")
	if kept != "epoch_over: record of late" {
		t.Errorf("dropped_batches has %q, want only the lost batch that came with its record", kept)
	}
	if n := count(t, pool, "applied_batches"); n != 1 {
		t.Errorf("%d batch ids, want 1", n)
	}
	expectRecount(t, pool)
}

func TestApplyToACertifiedBallot(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	run(t, pool, "UPDATE ballots SET state = 'closed' WHERE ballot = 'cast'")
	if _, err := certify(t, pool, 1, "cast"); err != nil {
		t.Fatal(err)
	}
	events := eventsOf(newBatch("cast", 1, "alice"), newBatch("main", 1, "A"))
	events[0].Record = []byte("record")
	result, err := pgledger.Apply(t.Context(), pool, pgledger.Batch{Events: events})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]pgledger.Verdict{pgledger.Certified, pgledger.Applied}, result.Verdicts); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
	if got := votesOf(t, pool, "cast"); len(got) != 0 {
		t.Errorf("the certified ballot has %v", got)
	}
	if reason := query[string](t, pool, "SELECT reason FROM dropped_batches"); reason != "certified" {
		t.Errorf("reason is %q", reason)
	}
	expectRecount(t, pool)
}

func TestApplyRefusals(t *testing.T) {
	t.Parallel()
	future := newBatch("main", 1, "A")
	future.Epoch = 2
	withKey := func(first int64) *eventv1.VoteBatch {
		b := newBatch("main", first, "A")
		b.Votes[0].VoteId = []byte("the same vote id")
		b.Votes[0].BodyHash = make([]byte, 16)
		return b
	}
	for name, c := range map[string]struct {
		prepare   string
		batches   []*eventv1.VoteBatch
		want      error
		permanent bool
	}{
		"no epoch":       {"DELETE FROM ledger_epoch", []*eventv1.VoteBatch{newBatch("main", 1, "A")}, pgledger.ErrNoEpoch, false},
		"sealed":         {"UPDATE ledger_epoch SET state = 'sealed'", []*eventv1.VoteBatch{newBatch("main", 1, "A")}, pgledger.ErrSealed, false},
		"future epoch":   {"", []*eventv1.VoteBatch{newBatch("main", 1, "A"), future}, pgledger.ErrFutureEpoch, true},
		"unknown ballot": {"", []*eventv1.VoteBatch{newBatch("main", 1, "A"), newBatch("nobody", 1, "A")}, pgledger.ErrUnknownBallot, true},
		"key conflict":   {"", []*eventv1.VoteBatch{withKey(1), withKey(2)}, pgledger.ErrKeyConflict, true},
		"a sum too much": {"INSERT INTO user_votes VALUES ('main', 'A', 9223372036854775807, 1, now())", []*eventv1.VoteBatch{newBatch("main", 1, "A")}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := newLedger(t)
			if c.prepare != "" {
				run(t, pool, c.prepare)
			}
			_, err := apply(t.Context(), pool, c.batches...)
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Fatalf("error is %v, want %v", err, c.want)
			}
			if pgledger.CommitUnknown(err) {
				t.Errorf("%v: counts as unknown, but nothing was committed", err)
			}
			if pgledger.Permanent(err) != c.permanent {
				t.Errorf("%v: permanent is %v", err, !c.permanent)
			}
			run(t, pool, "DELETE FROM user_votes WHERE votes = 9223372036854775807")
			expectEmpty(t, pool)
		})
	}
}

func TestApplyInAnEndingEpoch(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	setEpoch(t, pool, 1, "ending")
	if v := mustApply(t, pool, newBatch("main", 1, "A")).Verdicts[0]; v != pgledger.Applied {
		t.Errorf("verdict is %v: what was admitted before still counts while the epoch ends", v)
	}
}

func TestApplyMovesOffsetsByCompareAndSet(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	topic := uuid.New()
	if _, err := pgledger.Offsets(t.Context(), pool, topic, 2); err != nil {
		t.Fatal(err)
	}
	caughtUp := time.Now().UTC().Truncate(time.Microsecond)
	move := func(partition int32, from, to int64) pgledger.OffsetMove {
		return pgledger.OffsetMove{TopicID: topic, Partition: partition, From: from, To: to}
	}
	first := move(1, 0, 6)
	first.CaughtUpAt = caughtUp
	_, err := pgledger.Apply(t.Context(), pool, pgledger.Batch{
		Events: eventsOf(newBatch("main", 1, "A")), Offsets: []pgledger.OffsetMove{move(0, 0, 5), first},
	})
	if err != nil {
		t.Fatal(err)
	}
	stranger := move(1, 6, 8)
	stranger.TopicID = uuid.New()
	for name, moves := range map[string][]pgledger.OffsetMove{
		"one is elsewhere": {move(0, 5, 9), move(1, 5, 9)},
		"no row":           {move(0, 5, 9), move(2, 0, 9)},
		"other topic":      {move(0, 5, 9), stranger},
	} {
		_, err := pgledger.Apply(t.Context(), pool, pgledger.Batch{Events: eventsOf(newBatch("main", 2, "A")), Offsets: moves})
		if !errors.Is(err, pgledger.ErrZombie) || pgledger.CommitUnknown(err) || pgledger.Permanent(err) {
			t.Errorf("%s: error is %v, want ErrZombie", name, err)
		}
	}
	next, err := pgledger.Offsets(t.Context(), pool, topic, 2)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[int32]int64{0: 5, 1: 6}, next); diff != "" {
		t.Errorf("offsets (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int64{"A": 1}, votesOf(t, pool, "main")); diff != "" {
		t.Errorf("votes (-want +got):\n%s", diff)
	}
	// Poison alone moves an offset too, and an offset without a new moment keeps the old one.
	if _, err := pgledger.Apply(t.Context(), pool, pgledger.Batch{Offsets: []pgledger.OffsetMove{move(1, 6, 7)}}); err != nil {
		t.Fatal(err)
	}
	if at := query[time.Time](t, pool, "SELECT caught_up_at FROM offsets WHERE partition = 1 AND next = 7"); !at.Equal(caughtUp) {
		t.Errorf("caught up at %v, want %v", at, caughtUp)
	}
}
