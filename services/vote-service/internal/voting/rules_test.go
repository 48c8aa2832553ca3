package voting_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/pgledger"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

const (
	counted = statusv1.Outcome_OUTCOME_COUNTED
	none    = statusv1.Outcome_OUTCOME_NONE
	unknown = statusv1.Outcome_OUTCOME_UNKNOWN
)

func want(t *testing.T, v *votev1.Verdict, outcome statusv1.Outcome) {
	t.Helper()
	if v.GetOutcome() != outcome {
		t.Fatalf("%v, want %s", v, outcome)
	}
}

func newKey() string { return uuid.Must(uuid.NewV7()).String() }

// H1, G8: success comes after the settlement, so that a read shows the vote.
func TestSuccessIsSaidAfterSettlement(t *testing.T) {
	s := newStage(t)
	want(t, s.cast(forA("")), counted)
	if s.votes() != 1 || len(s.logged) != 1 {
		t.Fatalf("%d votes, %d records", s.votes(), len(s.logged))
	}
}

// G1: nothing is acknowledged that is in no log and in no ledger.
func TestNothingIsAcknowledgedBeforeItIsDurable(t *testing.T) {
	s := newStage(t)
	s.set(func() {
		s.produce = func(*eventv1.VoteBatch) (bool, error) { return true, errAway }
		s.apply = func(*eventv1.VoteBatch) (pgledger.Verdict, error) { return 0, errAway }
	})
	want(t, s.cast(forA("")), unknown)
}

// H6: a process whose lease is over says nothing, and learns from Postgres what became of the batch.
func TestLeaseIsCheckedAfterTheSettlement(t *testing.T) {
	s := newStage(t)
	s.set(func() {
		s.produce = func(b *eventv1.VoteBatch) (bool, error) {
			s.live = false // between the admission and the answer
			return true, nil
		}
	})
	want(t, s.cast(forA("")), unknown)
	s.set(func() {
		s.produce = func(b *eventv1.VoteBatch) (bool, error) {
			s.applied[uuid.UUID(b.GetBatchId())] = true
			go s.change(2)
			return true, nil
		}
	})
	v := s.cast(forA(""))
	want(t, v, counted)
	if v.GetTotals()[0].GetVotes() != 41 {
		t.Fatalf("%v: the count is Postgres's", v)
	}
}

// H2 to H5: what certainly became nothing is given back; a refund is a definite refusal.
func TestRefund(t *testing.T) {
	s := newStage(t)
	s.set(func() {
		s.produce = func(*eventv1.VoteBatch) (bool, error) { return false, errAway }
		s.apply = func(*eventv1.VoteBatch) (pgledger.Verdict, error) { return 0, errAway }
	})
	want(t, s.cast(forA("")), none)
	if s.left() != 10 {
		t.Fatalf("%d uses left of 10", s.left())
	}
}

// H4: what may be in the log is never refunded.
func TestMaybeSentIsUnknown(t *testing.T) {
	s := newStage(t)
	s.set(func() {
		s.produce = func(*eventv1.VoteBatch) (bool, error) { return true, errAway }
		s.apply = func(*eventv1.VoteBatch) (pgledger.Verdict, error) { return 0, errAway }
	})
	want(t, s.cast(forA("")), unknown)
	if s.left() != 9 {
		t.Fatalf("%d uses left of 10", s.left())
	}
}

// H3: what may be committed is never refunded.
func TestCommitWithoutAnswerIsUnknown(t *testing.T) {
	s := newStage(t)
	s.set(func() {
		s.produce = func(*eventv1.VoteBatch) (bool, error) { return false, errAway }
		s.apply = func(*eventv1.VoteBatch) (pgledger.Verdict, error) {
			return 0, &pgledger.CommitUnknownError{Cause: errAway}
		}
	})
	want(t, s.cast(forA("")), unknown)
	if s.left() != 9 {
		t.Fatalf("%d uses left of 10", s.left())
	}
}

// H27: an admission without an answer is unknown, unless the batch is known.
func TestAdmissionWithoutAnswer(t *testing.T) {
	s := newStage(t)
	s.set(func() { s.deaf = true })
	want(t, s.cast(forA("")), unknown)
	s.set(func() { s.deaf = false })
	want(t, s.cast(forA("")), counted)
	if s.left() != 8 {
		t.Fatalf("%d uses left of 10", s.left())
	}
}

// A settlement without an answer is asked for again, and happens once.
func TestSettlementWithoutAnswer(t *testing.T) {
	s := newStage(t)
	s.set(func() { s.lost = true })
	want(t, s.cast(forA("")), unknown)
	s.set(func() { s.lost = false })
	want(t, s.cast(forA("")), counted)
	if s.votes() != 2 {
		t.Fatalf("%d votes", s.votes())
	}
}

// H1: a retry whose batch is not settled drives it first; if it cannot, it is not told success.
func TestPendingIsNotSame(t *testing.T) {
	s := newStage(t)
	key := newKey()
	s.set(func() {
		s.produce = func(*eventv1.VoteBatch) (bool, error) { return true, errAway }
		s.apply = func(*eventv1.VoteBatch) (pgledger.Verdict, error) { return 0, errAway }
	})
	want(t, s.cast(forA(key)), unknown)
	want(t, s.cast(forA(key)), unknown)
	s.set(func() { s.produce = func(*eventv1.VoteBatch) (bool, error) { return true, nil } })
	want(t, s.cast(forA(key)), counted)
	if s.votes() != 1 {
		t.Fatalf("%d votes", s.votes())
	}
}

// H28: that a key is free was true in the epoch in which it was asked. Asked again in the next one, it is looked up again.
func TestLookUpHoldsForOneEpoch(t *testing.T) {
	s := newStage(t)
	asked := 0
	s.set(func() {
		s.lookup = func() {
			asked++
			if asked == 1 {
				s.change(2)
			}
		}
	})
	want(t, s.cast(forA(uuid.NewString())), counted) // not a UUIDv7, so it is looked up
	if asked != 2 {
		t.Fatalf("Postgres was asked %d times for a key, over two epochs", asked)
	}
}
