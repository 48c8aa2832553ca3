package ballots

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/littlevote/littlevote/libs/pgledger"
	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
)

// changes are what a request wants to be otherwise. What it does not speak of stays.
type changes struct {
	req           *ballotv1.UpdateBallotRequest
	state         string // empty: stays
	opens, closes *time.Time
	interval      time.Duration    // 0: stays
	rules         *pgledger.Ballot // holds what only a draft can change; nil: stays
}

// changesOf reads a request, or says which field is wrong.
func (s *Service) changesOf(req *ballotv1.UpdateBallotRequest) (changes, error) {
	c := changes{req: req}
	err := firstOf(
		func() error { return checkName("name", req.GetName()) },
		func() error { return checkActor(req.GetActor()) },
		func() error { return checkTitle(req.GetTitle()) },
		c.takeState,
		func() (err error) { c.opens, err = newBound("opens_at", req.GetOpensAt()); return err },
		func() (err error) { c.closes, err = newBound("closes_at", req.GetClosesAt()); return err },
		func() error { return checkCap(req.GetTicketCap()) },
		func() (err error) {
			c.interval, err = length("ticket_interval", req.GetTicketInterval(), shortestTicket, longestTicket)
			return err
		},
		func() error { return s.checkCandidates("add_candidates", req.GetAddCandidates()) },
		func() error { return s.checkCandidates("remove_candidates", req.GetRemoveCandidates()) },
		c.takeRules,
	)
	return c, err
}

// newBound reads a new opening or closing time; the zero timestamp, like none, is no bound.
func newBound(field string, t *timestamppb.Timestamp) (*time.Time, error) {
	if t.GetSeconds() == 0 && t.GetNanos() == 0 {
		return nil, nil //nolint:nilnil // no bound
	}
	return moment(field, t)
}

func (c *changes) takeState() error {
	if c.req.State == nil {
		return nil
	}
	switch c.req.GetState() {
	case ballotv1.BallotState_BALLOT_STATE_OPEN:
		c.state = stateOpen
	case ballotv1.BallotState_BALLOT_STATE_PAUSED:
		c.state = statePaused
	default:
		return invalid("state: expected BALLOT_STATE_OPEN or BALLOT_STATE_PAUSED")
	}
	return nil
}

func (c *changes) takeRules() error {
	if c.req.GetRules() == nil {
		return nil
	}
	c.rules = &pgledger.Ballot{}
	return rulesIn{c.rules}.take(c.req.GetRules())
}

// update changes a ballot: the row, committed, then the marker.
func (s *Service) update(ctx context.Context, c changes) (pgledger.Ballot, error) {
	by := pgledger.Deed{Actor: c.req.GetActor(), Action: pgledger.ActionUpdate}
	return s.change(ctx, c.req.GetName(), by, func(ctx context.Context, tx pgx.Tx, b *pgledger.Ballot, now time.Time) error {
		before := *b
		before.Candidates = slices.Clone(b.Candidates)
		if err := c.fill(ctx, tx, b); err != nil {
			return err
		}
		return c.allowed(ctx, tx, &before, b, now)
	})
}

// fill makes a ballot what the request wants it to be, whether that is allowed or not.
func (c *changes) fill(ctx context.Context, tx pgx.Tx, b *pgledger.Ballot) error {
	if c.req.Title != nil {
		b.Title = c.req.GetTitle()
	}
	if c.state != "" && b.State != stateClosed && b.State != stateCertified {
		b.State = c.state
	}
	if c.req.GetOpensAt() != nil {
		b.OpensAt = c.opens
	}
	if c.req.GetClosesAt() != nil {
		b.ClosesAt = c.closes
	}
	if c.interval > 0 {
		b.TicketInterval = c.interval
	}
	for _, name := range c.req.GetAddCandidates() {
		if !slices.Contains(b.Candidates, name) {
			b.Candidates = append(b.Candidates, name)
		}
	}
	for _, name := range c.req.GetRemoveCandidates() {
		b.Candidates = slices.DeleteFunc(b.Candidates, func(known string) bool { return known == name })
	}
	if r := c.rules; r != nil {
		b.CandidatePattern, b.VotesPerVoter, b.VoterPeriod, b.PerCandidate = r.CandidatePattern, r.VotesPerVoter, r.VoterPeriod, r.PerCandidate
		b.Visibility, b.Ticketless, b.HotFor = r.Visibility, r.Ticketless, r.HotFor
	}
	return c.fillCap(ctx, tx, b)
}

func (c *changes) fillCap(ctx context.Context, tx pgx.Tx, b *pgledger.Ballot) error {
	if c.req.TicketCap == nil {
		return nil
	}
	switch n := c.req.GetTicketCap(); n {
	case 0:
		of, err := pgledger.BallotNamed(ctx, tx, defaultBallot)
		b.TicketCap = of.TicketCap
		return err
	case noCap:
		b.TicketCap = nil
	default:
		b.TicketCap = &n
	}
	return nil
}

// allowed says whether a ballot may become another one now. One that stays what it is always may: the request may have had
// its effect before.
func (c *changes) allowed(ctx context.Context, tx pgx.Tx, before, after *pgledger.Ballot, now time.Time) error {
	if before.State == stateClosed || before.State == stateCertified {
		if c.state != "" || !sameRules(before, after) || !sameRest(before, after) {
			return forbidden("the ballot is %s: nothing of it can be changed any more", before.State)
		}
		return nil
	}
	if before.State == after.State && sameRules(before, after) && sameRest(before, after) {
		return nil
	}
	if before.State != stateDraft {
		if err := lessThanADraft(before, after, now); err != nil {
			return err
		}
	}
	if !sameMoment(before.ClosesAt, after.ClosesAt) && after.ClosesAt != nil && !after.ClosesAt.After(now) {
		return invalid("closes_at: expected a time that has not passed")
	}
	if err := checkCandidateChange(ctx, tx, before, after); err != nil {
		return err
	}
	return checkWhole(after)
}

// lessThanADraft forbids what only a draft can do.
func lessThanADraft(before, after *pgledger.Ballot, now time.Time) error {
	switch {
	case before.ClosesAt != nil && !before.ClosesAt.After(now):
		return forbidden("the ballot's time is over: nothing of it can be changed any more")
	case !sameRules(before, after):
		return forbidden("rules: only those of a draft can be changed")
	case before.Candidates == nil && after.Candidates != nil:
		return forbidden("add_candidates: the ballot takes other names than those of a list")
	case !sameMoment(before.OpensAt, after.OpensAt) && (before.OpensAt == nil || !before.OpensAt.After(now)):
		return forbidden("opens_at: the ballot has opened already")
	}
	for _, name := range before.Candidates {
		if !slices.Contains(after.Candidates, name) {
			return forbidden("remove_candidates: only a draft's can be removed")
		}
	}
	return nil
}

func checkCandidateChange(ctx context.Context, tx pgx.Tx, before, after *pgledger.Ballot) error {
	var removed []string
	for _, name := range before.Candidates {
		if !slices.Contains(after.Candidates, name) {
			removed = append(removed, name)
		}
	}
	switch {
	case len(after.Candidates) > maxCandidates:
		return invalid("add_candidates: expected at most %d names in all", maxCandidates)
	case len(removed) > 0 && len(after.Candidates) == 0:
		return invalid("remove_candidates: expected one at least to stay; without any, every name would do")
	case len(removed) == 0:
		return nil
	}
	voted, err := pgledger.HasVotes(ctx, tx, before.Name, removed)
	if err != nil {
		return err
	}
	if voted {
		return forbidden("remove_candidates: expected none that has votes")
	}
	return nil
}
