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
func (s *Service) certify(ctx context.Context, name, actor string) (pgledger.BallotResult, error) {
	b, err := pgledger.BallotNamed(ctx, s.Pool, name)
	if err != nil {
		return pgledger.BallotResult{}, err
	}
	if b.State == stateCertified {
		return pgledger.ResultOf(ctx, s.Pool, name)
	}
	var result pgledger.BallotResult
	err = s.drained(ctx, &b, actor, func(l epoch.Ledger, _ redisledger.Cut) (err error) {
		result, err = pgledger.Certify(ctx, s.Pool, l.Epoch, name, pgledger.Certifier{
			Actor: actor,
			Sign:  func(r *pgledger.BallotResult) (string, error) { return s.Signer.Sign(document(r)) },
		})
		return err
	})
	return result, err
}

// drained calls f once nothing more is admitted to a ballot, and all that was is in the ledger; again in the next epoch, if
// this one ends meanwhile. It goes on until f has succeeded or failed, or until the call's deadline, and says then what it
// was waiting for.
func (s *Service) drained(
	ctx context.Context, b *pgledger.Ballot, actor string, f func(l epoch.Ledger, last redisledger.Cut) error,
) error {
	for isShut := false; ; {
		err := s.attempt(ctx, b, actor, &isShut, f)
		var waits *waitingError
		if !errors.As(err, &waits) || pause(ctx) != nil {
			return err
		}
	}
}

// attempt goes as far as it can: a waitingError says what it has to wait for.
func (s *Service) attempt(
	ctx context.Context, b *pgledger.Ballot, actor string, isShut *bool, f func(l epoch.Ledger, last redisledger.Cut) error,
) error {
	if !*isShut {
		if err := s.shut(ctx, b, actor); err != nil {
			return err
		}
		*isShut = true
	}
	l, open := s.Epochs.Current()
	if !open {
		return waiting("an epoch to open")
	}
	// In Postgres a vote is in the ledger once it is admitted, and whatever still stands in the log is of epochs that are over.
	var last redisledger.Cut
	if l.Mode == epoch.Redis {
		var err error
		if last, err = s.settled(ctx, l, b.Name); err != nil {
			return err
		}
	}
	err := f(l, last)
	if errors.Is(err, pgledger.ErrNotOpen) {
		s.Epochs.Suspect()
		return waiting("the next epoch")
	}
	return err
}

// shut makes sure that nothing more is admitted to a ballot that is closed, or whose time is over.
func (s *Service) shut(ctx context.Context, b *pgledger.Ballot, actor string) error {
	if b.State != stateClosed {
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
	_, err := s.close(ctx, b.Name, actor)
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

// settled waits until Postgres holds all that an epoch in Redis has admitted to a ballot, given that it admits no more.
func (s *Service) settled(ctx context.Context, l epoch.Ledger, name string) (redisledger.Cut, error) {
	cut, err := s.cut(ctx, l, name)
	if err != nil {
		return cut, err
	}
	if n := len(cut.Waiting); n > 0 && !faultpoint.Mutant("certify-ignores-outbox") {
		return cut, waiting("%d batches in the outbox", n)
	}
	topic, ends, err := s.Topic.EndOffsets(ctx)
	if err != nil {
		s.Log.DebugContext(ctx, "no end offsets", "error", err)
		return cut, waiting("Kafka")
	}
	for {
		behind, err := s.Progress.Behind(ctx, topic, ends)
		if err != nil {
			return cut, err
		}
		if behind == 0 {
			return cut, nil
		}
		if pause(ctx) != nil {
			return cut, waiting("the persister, which is %d records behind", behind)
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
