package ballots_test

import (
	"context"
	"testing"
	"time"

	"connectrpc.com/connect"

	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
	"github.com/littlevote/littlevote/services/vote-service/internal/town"
)

func (w *world) close(ctx context.Context, name string) error {
	answer, err := w.CloseBallot(ctx, &ballotv1.CloseBallotRequest{Name: name, Actor: me})
	if err == nil && answer.GetBallot().GetState() != ballotv1.BallotState_BALLOT_STATE_CLOSED {
		w.t.Errorf("closed, it says %v", answer.GetBallot())
	}
	return err
}

// G6: when it returns, Redis admits nothing more.
func TestG6CloseHasItsEffectAtOnce(t *testing.T) {
	w := newWorld(t)
	w.Vote(town.Ballot, "A", 1)
	for range 2 {
		if err := w.close(t.Context(), town.Ballot); err != nil {
			t.Fatal(err)
		}
		if _, n := w.TryAdmit(town.Ballot, "A", 1); n != 0 {
			t.Fatal("a closed ballot admits")
		}
	}
	// Nor does the next epoch.
	w.OpenRedis()
	if _, n := w.TryAdmit(town.Ballot, "A", 1); n != 0 {
		t.Error("a closed ballot admits in the next epoch")
	}
}

// A ballot that Redis does not know yet gets a marker that is closed, so that nobody makes one by older rules.
func TestG6CloseBeforeAnybodyVoted(t *testing.T) {
	w := newWorld(t)
	w.create(&ballotv1.Ballot{Name: "new"})
	if err := w.close(t.Context(), "new"); err != nil {
		t.Fatal(err)
	}
	if _, n := w.TryAdmit("new", "A", 1); n != 0 {
		t.Error("a closed ballot admits")
	}
}

// Redis does not answer: the row says closed, the caller is told to call again, and then it has its effect.
func TestCloseIsRepeatedUntilRedisKnows(t *testing.T) {
	w := newWorld(t)
	w.redis.cut = true
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	refused(t, w.close(ctx, town.Ballot), connect.CodeUnavailable, again)
	if ctx.Err() != nil {
		t.Error("answered after the deadline")
	}
	if state := w.get(town.Ballot).GetState(); state != ballotv1.BallotState_BALLOT_STATE_CLOSED {
		t.Errorf("the row says %v", state)
	}
	if _, n := w.TryAdmit(town.Ballot, "A", 1); n != 1 {
		t.Error("the marker was never told, and yet it is closed: this test proves nothing")
	}
	w.redis.cut = false
	if err := w.close(t.Context(), town.Ballot); err != nil {
		t.Fatal(err)
	}
	if _, n := w.TryAdmit(town.Ballot, "A", 1); n != 0 {
		t.Error("a closed ballot admits")
	}
}

// Redis goes away for good in the middle: the epoch changes, and that closes the ballot as well.
func TestCloseEndsWithTheEpoch(t *testing.T) {
	w := newWorld(t)
	w.redis.cut = true
	w.redis.failed = func() {
		w.redis.failed = nil
		w.OpenPostgres()
	}
	if err := w.close(t.Context(), town.Ballot); err != nil {
		t.Fatal(err)
	}
}

func TestCloseInPostgresNeedsTheRowOnly(t *testing.T) {
	w := newWorld(t)
	w.OpenPostgres()
	w.redis.cut = true
	if err := w.close(t.Context(), town.Ballot); err != nil {
		t.Fatal(err)
	}
}

// A row that somebody closed by hand says nothing to the marker, but a call does.
func TestG6CloseOfAClosedRow(t *testing.T) {
	w := newWorld(t)
	w.Exec("UPDATE ballots SET state = 'closed' WHERE ballot = 'main'")
	if err := w.close(t.Context(), town.Ballot); err != nil {
		t.Fatal(err)
	}
	if _, n := w.TryAdmit(town.Ballot, "A", 1); n != 0 {
		t.Error("a closed ballot admits")
	}
}
