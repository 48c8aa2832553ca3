package ballots

import (
	"context"
	"errors"
	"time"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/faultpoint"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
)

// certify closes a ballot whose time is over, waits until everything that was admitted is in the ledger, and fixes the
// result.
func (s *Service) certify(ctx context.Context, name string) (pgledger.BallotResult, error) {
	b, err := s.find(ctx, name)
	if err != nil {
		return pgledger.BallotResult{}, err
	}
	if b.State == "certified" {
		return pgledger.ResultOf(ctx, s.Pool, name)
	}
	for isShut := false; ; {
		result, err := s.attempt(ctx, b, &isShut)
		var waits *waitingError
		if !errors.As(err, &waits) || pause(ctx) != nil {
			return result, err
		}
	}
}

// attempt goes as far as it can: a waitingError says what it has to wait for.
func (s *Service) attempt(ctx context.Context, b pgledger.Ballot, isShut *bool) (pgledger.BallotResult, error) {
	if !*isShut {
		if err := s.shut(ctx, b); err != nil {
			return pgledger.BallotResult{}, err
		}
		*isShut = true
	}
	return s.fix(ctx, b.Name)
}

// shut makes sure that nothing more is admitted to a ballot that is closed, or whose time is over.
func (s *Service) shut(ctx context.Context, b pgledger.Ballot) error {
	if b.State != "closed" {
		if b.ClosesAt == nil {
			return errOpen
		}
		now, err := s.now(ctx, b.Name)
		if err != nil {
			return err
		}
		if now.Before(*b.ClosesAt) {
			return errOpen
		}
	}
	_, err := s.close(ctx, b.Name)
	return err
}

// now reads the clock that decides.
func (s *Service) now(ctx context.Context, ballot string) (time.Time, error) {
	l, open := s.Epochs.Current()
	if !open {
		return time.Time{}, waiting("an epoch to open")
	}
	if l.Mode == epoch.Redis {
		cut, err := s.cut(ctx, l, ballot)
		return cut.At, err
	}
	var now time.Time
	err := s.Pool.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now)
	return now, err
}

// fix certifies a ballot to which nothing more is admitted, or says what has to be waited for.
func (s *Service) fix(ctx context.Context, name string) (pgledger.BallotResult, error) {
	l, open := s.Epochs.Current()
	if !open {
		return pgledger.BallotResult{}, waiting("an epoch to open")
	}
	// In Postgres a vote is in the ledger once it is admitted, and whatever still stands in the log is of epochs that are over.
	if l.Mode == epoch.Redis {
		if err := s.settled(ctx, l, name); err != nil {
			return pgledger.BallotResult{}, err
		}
	}
	result, err := pgledger.Certify(ctx, s.Pool, l.Epoch, name)
	if errors.Is(err, pgledger.ErrNotOpen) {
		s.Epochs.Suspect()
		return result, waiting("the next epoch")
	}
	return result, err
}

// settled waits until Postgres holds all that an epoch in Redis has admitted to a ballot, given that it admits no more.
func (s *Service) settled(ctx context.Context, l epoch.Ledger, name string) error {
	cut, err := s.cut(ctx, l, name)
	if err != nil {
		return err
	}
	if n := len(cut.Waiting); n > 0 && !faultpoint.Mutant("certify-ignores-outbox") {
		return waiting("%d batches in the outbox", n)
	}
	topic, ends, err := s.Topic.EndOffsets(ctx)
	if err != nil {
		s.Log.DebugContext(ctx, "no end offsets", "error", err)
		return waiting("Kafka")
	}
	for {
		behind, err := s.Progress.Behind(ctx, topic, ends)
		if err != nil {
			return err
		}
		if behind == 0 {
			return nil
		}
		if pause(ctx) != nil {
			return waiting("the persister, which is %d records behind", behind)
		}
	}
}

func (s *Service) cut(ctx context.Context, l epoch.Ledger, ballot string) (redisledger.Cut, error) {
	cut, err := s.Redis.Cut(ctx, l.Fence(), ballot)
	switch {
	case err == nil:
		return cut, nil
	case errors.Is(err, redisledger.ErrManyWaiting):
		return cut, waiting("a great many batches in the outbox")
	default:
		s.Epochs.Suspect()
		s.Log.DebugContext(ctx, "no cut", "ballot", ballot, "error", err)
		return cut, waiting("Redis, or for the next epoch")
	}
}
