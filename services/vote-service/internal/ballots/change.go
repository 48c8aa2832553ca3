package ballots

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
)

// defaultBallot has the settings that new ballots begin with.
const defaultBallot = "main"

// create makes a ballot, or finds that it was made by the same request before. Its marker in Redis is made by whichever
// vote-service sees the row first.
func (s *Service) create(ctx context.Context, want pgledger.Ballot, ofMain bool, actor string) (pgledger.Ballot, error) {
	by := pgledger.Deed{Actor: actor, Action: pgledger.ActionCreate}
	if _, err := pgledger.MakeBallot(ctx, s.Pool, &want, ofMain, by); err != nil {
		return pgledger.Ballot{}, err
	}
	made, err := pgledger.BallotNamed(ctx, s.Pool, want.Name)
	if errors.Is(err, pgledger.ErrUnknownBallot) {
		return made, fmt.Errorf("there is no ballot %q to take the settings of", defaultBallot)
	}
	if err != nil {
		return made, err
	}
	main, err := pgledger.BallotNamed(ctx, s.Pool, defaultBallot)
	if err != nil {
		return made, err
	}
	if ofMain {
		want.TicketCap = main.TicketCap
	}
	if want.TicketInterval == 0 {
		want.TicketInterval = main.TicketInterval
	}
	if !sameRules(&want, &made) || !sameRest(&want, &made) {
		return made, errTaken
	}
	return made, nil
}

// close ends the admission of votes.
//
// The rules' version grows each time, so that a marker closes even if somebody has closed the row by hand.
func (s *Service) close(ctx context.Context, name, actor string) (pgledger.Ballot, error) {
	by := pgledger.Deed{Actor: actor, Action: pgledger.ActionClose}
	return s.change(ctx, name, by, func(_ context.Context, _ pgx.Tx, b *pgledger.Ballot, _ time.Time) error {
		if b.State != stateCertified {
			b.State = stateClosed
			b.RulesVersion++
		}
		return nil
	})
}

// change changes a ballot's row, commits, and then brings its marker the new rules.
func (s *Service) change(
	ctx context.Context, name string, by pgledger.Deed,
	f func(ctx context.Context, tx pgx.Tx, b *pgledger.Ballot, now time.Time) error,
) (pgledger.Ballot, error) {
	b, in, err := pgledger.ChangeBallot(ctx, s.Pool, name, by, func(tx pgx.Tx, b *pgledger.Ballot, now time.Time) error {
		return f(ctx, tx, b, now)
	})
	if errors.Is(err, pgledger.ErrNoEpoch) {
		return b, waiting("the first epoch to open")
	}
	if err != nil || b.State == stateCertified { // whose marker was closed before
		return b, err
	}
	return b, s.tell(ctx, in, &b)
}

// tell brings the marker of the epoch in which the row was changed the new rules, unless that epoch is over by now: then
// nothing is admitted in it, or nothing of that can count, and the next one was loaded from the row.
func (s *Service) tell(ctx context.Context, in pgledger.Epoch, b *pgledger.Ballot) error {
	for told := false; ; told = true {
		err := s.mark(ctx, in, b)
		if err == nil {
			return nil
		}
		if !told {
			s.Log.InfoContext(ctx, "Redis cannot be told a ballot's rules now; still trying", "ballot", b.Name, "error", err)
		}
		s.Epochs.Suspect()
		now, rowErr := pgledger.CurrentEpoch(ctx, s.Pool)
		if rowErr == nil && now.Number != in.Number {
			return nil
		}
		if pause(ctx) != nil {
			return waiting("Redis, which does not know the ballot's new rules yet")
		}
	}
}

// mark writes the rules into a ballot's marker, and makes the marker if the ballot is new in its epoch.
func (s *Service) mark(ctx context.Context, in pgledger.Epoch, b *pgledger.Ballot) error {
	if epoch.Mode(in.Mode) == epoch.Postgres {
		return nil // the row is what admits there, and the change has waited for those who held it
	}
	fence := redisledger.Fence{Epoch: in.Number, NS: in.NS}
	made, err := pgledger.NameBallots(ctx, s.Pool, in.Number, []string{b.Name})
	if err != nil {
		return err
	}
	if len(made) > 0 {
		return s.Redis.LoadNew(ctx, fence, marker(b), func(ctx context.Context) error {
			return pgledger.StillOpen(ctx, s.Pool, in.Number)
		})
	}
	return s.Redis.PutRules(ctx, fence, marker(b))
}

// marker is what Redis needs to know of a ballot.
func marker(b *pgledger.Ballot) redisledger.Ballot {
	m := redisledger.Ballot{
		Name: b.Name, State: b.State, VotesPerVoter: int64(b.VotesPerVoter), VoterPeriod: b.VoterPeriod, PerCandidate: b.PerCandidate,
		Ticketless: b.Ticketless, HotFor: b.HotFor, Rules: b.RulesVersion,
	}
	if b.OpensAt != nil {
		m.OpensAt = *b.OpensAt
	}
	if b.ClosesAt != nil {
		m.ClosesAt = *b.ClosesAt
	}
	return m
}
