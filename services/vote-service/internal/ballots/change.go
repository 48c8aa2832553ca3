package ballots

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
)

// defaultBallot has the settings that new ballots begin with.
const defaultBallot = "main"

// find reads a ballot.
func (s *Service) find(ctx context.Context, name string) (pgledger.Ballot, error) {
	found, err := s.read(ctx, name)
	if err != nil {
		return pgledger.Ballot{}, err
	}
	b, ok := found[name]
	if !ok {
		return b, errNotFound
	}
	return b, nil
}

// read reads some ballots as of one moment.
func (s *Service) read(ctx context.Context, names ...string) (map[string]pgledger.Ballot, error) {
	list, err := pgledger.Ballots(ctx, s.Pool)
	if err != nil {
		return nil, err
	}
	found := map[string]pgledger.Ballot{}
	for _, b := range list {
		for _, name := range names {
			if b.Name == name {
				found[name] = b
			}
		}
	}
	return found, nil
}

// create makes a ballot, or finds that it was made by the same request before. Its marker in Redis is made by whichever
// vote-service sees the row first.
func (s *Service) create(ctx context.Context, want rules) (pgledger.Ballot, error) {
	_, err := s.Pool.Exec(ctx, `
		INSERT INTO ballots (ballot, state, candidates, ticket_cap, ticket_interval_ms, opens_at, closes_at, votes_per_voter)
		SELECT $1, 'open', $2, CASE WHEN $3::bigint = 0 THEN ticket_cap ELSE nullif($3, $4) END, ticket_interval_ms, $5, $6, nullif($7, 0)
		FROM ballots WHERE ballot = $8
		ON CONFLICT DO NOTHING`,
		want.name, want.candidates, want.ticketCap, int64(noCap), want.opens, want.closes, want.votesPerVoter, defaultBallot)
	if err != nil {
		return pgledger.Ballot{}, fmt.Errorf("insert: %w", err)
	}
	found, err := s.read(ctx, want.name, defaultBallot)
	if err != nil {
		return pgledger.Ballot{}, err
	}
	made, ok := found[want.name]
	if !ok {
		return made, fmt.Errorf("there is no ballot %q to take the settings of", defaultBallot)
	}
	if !want.made(made, found[defaultBallot]) {
		return made, errTaken
	}
	return made, nil
}

// close ends the admission of votes: the row, committed, then the marker.
//
// The rules' version grows each time, so that a marker closes even if somebody has closed the row by hand.
func (s *Service) close(ctx context.Context, name string) (pgledger.Ballot, error) {
	var changed pgledger.Epoch // the epoch in which the row was changed
	err := pgledger.ChangeBallots(ctx, s.Pool, func(tx pgx.Tx, now pgledger.Epoch) error {
		changed = now
		_, err := tx.Exec(ctx, `
			UPDATE ballots SET state = 'closed', rules_version = rules_version + 1
			WHERE ballot = $1 AND state <> 'certified'`, name)
		return err
	})
	if errors.Is(err, pgledger.ErrNoEpoch) {
		return pgledger.Ballot{}, waiting("the first epoch to open")
	}
	if err != nil {
		return pgledger.Ballot{}, err
	}
	b, err := s.find(ctx, name)
	if err != nil {
		return b, err
	}
	return b, s.tell(ctx, changed, b)
}

// tell brings the marker of the epoch in which the row was changed the new rules, unless that epoch is over by now: then
// nothing is admitted in it, or nothing of that can count, and the next one was loaded from the row.
func (s *Service) tell(ctx context.Context, in pgledger.Epoch, b pgledger.Ballot) error {
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
			return waiting("Redis, which does not know yet that the ballot is closed")
		}
	}
}

// mark writes the rules into a ballot's marker, and makes the marker if the ballot is new in its epoch.
func (s *Service) mark(ctx context.Context, in pgledger.Epoch, b pgledger.Ballot) error {
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
