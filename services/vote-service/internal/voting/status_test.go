package voting_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/pgledger"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// H36: how far the ledger was when Postgres was asked says nothing of the time in which this process stood still after that.
func TestAVoteIsNotDeniedByAProcessThatWasStalled(t *testing.T) {
	s := newStage(t)
	const standstill = 100 * time.Millisecond
	began, stalled := time.Now(), false
	applied := began.Add(2 * standstill) // the persister stood still as well
	s.lag = func() time.Duration {
		if time.Now().Before(applied) {
			return time.Since(began)
		}
		return 0
	}
	s.lookup = func() {
		if !stalled {
			stalled = true
			<-time.After(standstill) // the answer is there, and nobody to read it
		}
	}
	s.voteOf = func() *pgledger.Vote {
		if time.Now().Before(applied) {
			return nil
		}
		return &pgledger.Vote{At: time.Now(), Admission: 7}
	}
	got, err := s.engine.GetVoteStatus(t.Context(), &votev1.GetVoteStatusRequest{VoteId: uuid.Must(uuid.NewV7()).String()})
	if err != nil || got.GetState() != votev1.VoteState_VOTE_STATE_COUNTED {
		t.Errorf("%v, %v", got, err)
	}
}

// H36, the same of the mode: what an epoch in Postgres began with was not there yet when it was looked for before.
func TestAVoteIsNotDeniedByALookBeforeTheEpochChanged(t *testing.T) {
	s := newStage(t)
	began := time.Now()
	s.lag = func() time.Duration { return time.Since(began) + time.Second } // nothing is known to be applied
	looks := 0
	s.voteOf = func() *pgledger.Vote {
		if looks++; looks > 1 {
			return &pgledger.Vote{At: began, Admission: 7}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ledger.Epoch++
		s.ledger.Mode = epoch.Postgres
		return nil
	}
	got, err := s.engine.GetVoteStatus(t.Context(), &votev1.GetVoteStatusRequest{VoteId: uuid.Must(uuid.NewV7()).String()})
	if err != nil || got.GetState() != votev1.VoteState_VOTE_STATE_COUNTED {
		t.Errorf("%v, %v", got, err)
	}
}
