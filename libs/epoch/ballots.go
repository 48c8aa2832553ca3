package epoch

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
)

// Loadable is a ballot as it is loaded into Redis.
type Loadable = redisledger.Ballot

func names(ballots []Loadable) []string {
	list := make([]string, len(ballots))
	for i, b := range ballots {
		list[i] = b.Name
	}
	return list
}

// hotLoad bounds how long the votes for hot items of all ballots hold up a load. What is not loaded then is looked up.
const hotLoad = 5 * time.Second

// loadables reads every ballot with its counts. Votes for hot items are read while they are loaded: there may be many.
func loadables(ctx context.Context, tx pgx.Tx) ([]Loadable, error) {
	rows, err := tx.Query(ctx, `
		SELECT b.ballot, b.state, b.opens_at, b.closes_at, coalesce(b.votes_per_voter, 0), coalesce(b.voter_period_ms, 0),
			b.limit_scope = 'candidate', b.ticketless, coalesce(b.hot_for_ms, 0), b.rules_version,
			greatest(coalesce(max(v.version), 0), coalesce((SELECT max(admissions) FROM pg_ballots p WHERE p.ballot = b.ballot), 0))
		FROM ballots b LEFT JOIN user_votes v USING (ballot) GROUP BY b.ballot ORDER BY b.ballot`)
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Loadable, error) {
		var (
			b             Loadable
			opens, closes *time.Time
			period, hot   int64
		)
		err := row.Scan(&b.Name, &b.State, &opens, &closes, &b.VotesPerVoter, &period, &b.PerCandidate, &b.Ticketless, &hot,
			&b.Rules, &b.Admissions)
		b.VoterPeriod, b.HotFor = time.Duration(period)*time.Millisecond, time.Duration(hot)*time.Millisecond
		if opens != nil {
			b.OpensAt = *opens
		}
		if closes != nil {
			b.ClosesAt = *closes
		}
		return b, err
	})
	if err != nil {
		return nil, err
	}
	left := hotLoad
	for i := range list {
		if list[i].Counts, err = counts(ctx, tx, list[i].Name); err != nil {
			return nil, err
		}
		if list[i].HotFor > 0 {
			list[i].HotVotes = hotVotes(tx, list[i].Name, &left)
		}
	}
	return list, nil
}

// hotVotes reads a ballot's votes for hot items, as long as there is time left.
func hotVotes(tx pgx.Tx, ballot string, left *time.Duration) func(context.Context, string, func(string, string, uuid.UUID) error) error {
	return func(ctx context.Context, fromID string, yield func(voter, candidate string, vote uuid.UUID) error) error {
		started := time.Now()
		defer func() { *left -= time.Since(started) }()
		return pgledger.HotVoters(ctx, tx, ballot, fromID, func(v pgledger.VoterVote) error {
			if err := yield(v.Voter, v.Candidate, v.ID); err != nil {
				return err
			}
			if time.Since(started) > *left {
				return redisledger.ErrNotAll
			}
			return nil
		})
	}
}

func counts(ctx context.Context, tx pgx.Tx, ballot string) ([]redisledger.Count, error) {
	rows, err := tx.Query(ctx, "SELECT username, votes, updated_at FROM user_votes WHERE ballot = $1", ballot)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (redisledger.Count, error) {
		var c redisledger.Count
		err := row.Scan(&c.Name, &c.Votes, &c.UpdatedAt)
		return c, err
	})
}
