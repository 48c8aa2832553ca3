package reading

import (
	"context"
	"time"

	"github.com/littlevote/littlevote/libs/faultpoint"
	"github.com/littlevote/littlevote/libs/pgledger"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
)

// rules is a ballot's row as it was at some moment. Whether counts may be shown is decided after they were read. A row may be
// a moment old by then, and says enough all the same:
//
//   - Who may see counts changes in a draft only, and a draft has no votes. So a row of a later state says it for good, and
//     one of a draft is read anew, after the counts.
//   - "closed" and "certified" never end.
//   - A closing time may be put off until it has come. So where nothing but the time says that a ballot is closed, the row
//     must be newer than the moment at which that was first noticed.
type rules struct {
	pgledger.Ballot

	begun time.Time // when the reading of the row began, by the clock here
}

const (
	stateDraft     = "draft"
	stateClosed    = "closed"
	stateCertified = "certified"
)

// ended says that the row's state is one after which nothing is counted any more.
func (r *rules) ended() bool { return r.State == stateClosed || r.State == stateCertified }

// asksClock says that the row does not tell without a clock who may see counts.
func (r *rules) asksClock() bool {
	timed := r.Visibility == pgledger.VisibleAfterVote || r.Visibility == pgledger.VisibleAfterClose
	return timed && !r.ended() && r.ClosesAt != nil
}

// passing is the moment at which it was first noticed that a closing time had come.
type passing struct{ closes, noticed time.Time }

// visible says whether a viewer may see counts that were read.
func (s *Service) visible(ctx context.Context, b *shelf, viewer *queryv1.Viewer, c *counts) (bool, error) {
	row := b.rules.Load()
	if row.State == stateDraft {
		if _, err := s.ballots.renew(ctx, row.Name); err != nil {
			return false, err
		}
		row = b.rules.Load()
	}
	switch {
	case row.Visibility == pgledger.VisibleAlways, faultpoint.Mutant("hidden-shown"):
		return true, nil
	case row.Visibility == pgledger.VisibleNever:
		return viewer.GetOrganiser() && row.State == stateCertified, nil
	}
	closed, err := s.closed(ctx, b, c.asOf)
	if closed || err != nil || row.Visibility == pgledger.VisibleAfterClose || viewer.GetVoter() == "" {
		return closed, err
	}
	return s.hasVoted(ctx, b, viewer.GetVoter())
}

// hasVoted says whether a voter has a vote that counts. Where Redis is asked about each candidate of a closed list, that is looked up
// before a "no" is believed: it may have got another a moment ago.
func (s *Service) hasVoted(ctx context.Context, b *shelf, voter string) (bool, error) {
	row := b.rules.Load()
	voted, err := s.rights.voted(ctx, b, voter)
	if voted || err != nil || !row.PerCandidate || row.Candidates == nil {
		return voted, err
	}
	if _, err := s.ballots.renew(ctx, b.name); err != nil || len(b.rules.Load().Candidates) == len(row.Candidates) {
		return false, err
	}
	return s.rights.voted(ctx, b, voter)
}

// closed says whether a ballot was closed at a moment.
func (s *Service) closed(ctx context.Context, b *shelf, asOf time.Time) (bool, error) {
	for {
		row := b.rules.Load()
		if row.ended() {
			return true, nil
		}
		if row.ClosesAt == nil || asOf.Before(*row.ClosesAt) {
			return false, nil
		}
		noticed := b.passed(*row.ClosesAt)
		if row.begun.After(noticed) {
			return true, nil
		}
		if _, err := s.ballots.renew(ctx, row.Name); err != nil {
			return false, err
		}
	}
}
