package pgledger_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/pgledger"
)

func TestLookup(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	batch := newBatch("main", 1, "A", "B")
	batch.Votes[0].BodyHash = []byte("0123456789abcdef")
	mustApply(t, pool, batch)
	known, keyless := uuid.UUID(batch.GetVotes()[0].GetVoteId()), uuid.UUID(batch.GetVotes()[1].GetVoteId())

	got, err := pgledger.Lookup(t.Context(), pool, "main", []uuid.UUID{keyless, known, uuid.New()})
	if err != nil {
		t.Fatal(err)
	}
	want := map[uuid.UUID]pgledger.Key{known: {BodyHash: [16]byte([]byte("0123456789abcdef")), BatchID: uuid.UUID(batch.GetBatchId())}}
	if diff := cmp.Diff(want, got.Found); diff != "" {
		t.Errorf("found (-want +got):\n%s", diff)
	}
	other, err := pgledger.Lookup(t.Context(), pool, "cast", []uuid.UUID{known})
	if err != nil || len(other.Found) != 0 {
		t.Errorf("another ballot's look-up found %v, %v: a key is free there", other.Found, err)
	}
}

// Hole H21: a look-up knows how far the ledger is behind.
func TestLookupLag(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	lag := func() time.Duration {
		t.Helper()
		got, err := pgledger.Lookup(t.Context(), pool, "main", []uuid.UUID{uuid.New()})
		if err != nil {
			t.Fatal(err)
		}
		return got.Lag
	}
	if got := lag(); got != math.MaxInt64 {
		t.Errorf("lag without a persister is %v", got)
	}
	topic := uuid.New()
	if _, err := pgledger.Offsets(t.Context(), pool, topic, 3); err != nil {
		t.Fatal(err)
	}
	if got := lag(); got < 20*365*24*time.Hour {
		t.Errorf("lag is %v before any partition was caught up", got)
	}
	now, err := pgledger.Beat(t.Context(), pool, "me", 1, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	caughtUp := func(next map[int32]int64, at time.Time) {
		t.Helper()
		if err := pgledger.CaughtUp(t.Context(), pool, topic, next, at); err != nil {
			t.Fatal(err)
		}
	}
	caughtUp(map[int32]int64{0: 0, 1: 0}, now)
	if got := lag(); got < 20*365*24*time.Hour {
		t.Errorf("lag is %v, but one partition was never caught up", got)
	}
	caughtUp(map[int32]int64{2: 0}, now.Add(-30*time.Second))
	if got := lag(); got < 30*time.Second || got > 50*time.Second {
		t.Errorf("lag is %v, want that of the partition which is furthest behind, 30 s", got)
	}
	caughtUp(map[int32]int64{2: 1}, now)
	if got := lag(); got < 30*time.Second {
		t.Errorf("lag is %v: a partition that stands elsewhere was taken for caught up", got)
	}
	caughtUp(map[int32]int64{0: 0, 2: 0}, now.Add(-10*time.Second))
	if got := lag(); got < 10*time.Second || got > 29*time.Second {
		t.Errorf("lag is %v, want 10 s, set by partition 2: partition 0 does not go back", got)
	}
}

func TestOffsetsOfATopicMadeAnew(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	old := uuid.New()
	if _, err := pgledger.Offsets(t.Context(), pool, old, 2); err != nil {
		t.Fatal(err)
	}
	if _, err := pgledger.Offsets(t.Context(), pool, uuid.New(), 2); !errors.Is(err, pgledger.ErrOtherTopic) {
		t.Errorf("error is %v, want ErrOtherTopic", err)
	}
	next, err := pgledger.Offsets(t.Context(), pool, old, 4)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[int32]int64{0: 0, 1: 0, 2: 0, 3: 0}, next); diff != "" {
		t.Errorf("after the topic has grown (-want +got):\n%s", diff)
	}
}

func TestBatchApplied(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	batch := newBatch("main", 1, "A")
	mustApply(t, pool, batch)
	setEpoch(t, pool, 2, "ending")
	id, other := uuid.UUID(batch.GetBatchId()), uuid.Must(uuid.NewV7())
	applied, epoch, err := pgledger.BatchApplied(t.Context(), pool, []uuid.UUID{other, id})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[uuid.UUID]bool{id: true}, applied); diff != "" {
		t.Errorf("applied (-want +got):\n%s", diff)
	}
	want := pgledger.Epoch{Number: 2, Mode: "redis", State: "ending", NS: "ns"}
	if diff := cmp.Diff(want, epoch); diff != "" {
		t.Errorf("epoch (-want +got):\n%s", diff)
	}
	if _, epoch, err := pgledger.BatchApplied(t.Context(), pool, []uuid.UUID{other}); err != nil || epoch != want {
		t.Errorf("with nothing found the epoch is %+v, %v", epoch, err)
	}
	run(t, pool, "DELETE FROM ledger_epoch")
	if _, _, err := pgledger.BatchApplied(t.Context(), pool, []uuid.UUID{id}); !errors.Is(err, pgledger.ErrNoEpoch) {
		t.Errorf("error is %v, want ErrNoEpoch", err)
	}
}

func TestBallots(t *testing.T) {
	t.Parallel()
	pool := newLedger(t)
	ballots, err := pgledger.Ballots(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	if len(ballots) != 3 {
		t.Fatalf("%d ballots, want cast, main and tiny", len(ballots))
	}
	cast, main, tiny := ballots[0], ballots[1], ballots[2]
	if main.Name != "main" || len(main.Candidates) != 26 || *main.TicketCap != 1000 || main.TicketInterval != 2*time.Second || main.State != "open" {
		t.Errorf("main is %+v", main)
	}
	if cast.Name != "cast" || cast.Candidates != nil || *cast.TicketCap != 100 || cast.MaxCandidates != 10000 {
		t.Errorf("cast is %+v", cast)
	}
	if tiny.Name != "tiny" || tiny.TicketCap != nil || tiny.OpensAt != nil || tiny.CreatedAt.IsZero() {
		t.Errorf("tiny is %+v", tiny)
	}
	if cast.TicketForm != "hmac" || tiny.TicketForm != "uuid" || main.TicketForm != "signed" || main.Tenant() != "" {
		t.Errorf("ticket forms are %s, %s, %s", cast.TicketForm, tiny.TicketForm, main.TicketForm)
	}
	run(t, pool, `
		INSERT INTO ballots (ballot, title, candidate_pattern, ticketless, ticket_interval_ms, votes_per_voter, voter_period_ms,
			limit_scope, visibility, hot_for_ms)
		VALUES ('acme.likes', 'Likes', '[a-z]+', true, 2000, 1, 3600000, 'candidate', 'after_vote', 86400000)`)
	likes, err := pgledger.BallotNamed(t.Context(), pool, "acme.likes")
	if err != nil {
		t.Fatal(err)
	}
	likes.CreatedAt = time.Time{}
	want := pgledger.Ballot{
		Name: "acme.likes", Title: "Likes", State: "open", CandidatePattern: "[a-z]+", MaxCandidates: 10000, Ticketless: true,
		TicketForm: "signed", TicketInterval: 2 * time.Second, VotesPerVoter: 1, VoterPeriod: time.Hour, PerCandidate: true,
		Visibility: pgledger.VisibleAfterVote, HotFor: 24 * time.Hour, RulesVersion: 1,
	}
	if diff := cmp.Diff(want, likes); diff != "" || likes.Tenant() != "acme" {
		t.Errorf("ballot of %s (-want +got):\n%s", likes.Tenant(), diff)
	}
	if _, err := pgledger.BallotNamed(t.Context(), pool, "nowhere"); !errors.Is(err, pgledger.ErrUnknownBallot) {
		t.Errorf("error is %v, want ErrUnknownBallot", err)
	}
}
