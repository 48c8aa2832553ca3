package ballots

import (
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/littlevote/littlevote/libs/pgledger"
	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
)

// ballotOf reads the ballot that a request asks for, or says which field is wrong. ofMain says that its tickets' cap is that
// of the ballot main; so is their interval where it is 0.
func (s *Service) ballotOf(m *ballotv1.Ballot) (b pgledger.Ballot, ofMain bool, err error) {
	if m == nil {
		return b, false, invalid("ballot: expected a ballot")
	}
	b = pgledger.Ballot{Name: m.GetName(), Title: m.GetTitle(), Candidates: m.GetCandidates(), State: stateOpen}
	if len(b.Candidates) == 0 {
		b.Candidates = nil
	}
	switch m.GetState() {
	case ballotv1.BallotState_BALLOT_STATE_UNSPECIFIED, ballotv1.BallotState_BALLOT_STATE_OPEN:
	case ballotv1.BallotState_BALLOT_STATE_DRAFT:
		b.State = stateDraft
	default:
		return b, false, invalid("state: expected BALLOT_STATE_DRAFT or BALLOT_STATE_OPEN")
	}
	rules := rulesIn{&b}
	err = firstOf(
		func() error { return checkName("name", b.Name) },
		func() error { return checkTitle(b.Title) },
		func() error { return s.checkCandidates("candidates", m.GetCandidates()) },
		func() error { return rules.take(m) },
		func() error { return rules.takeTickets(m) },
		func() (err error) { b.OpensAt, err = moment("opens_at", m.GetOpensAt()); return err },
		func() (err error) { b.ClosesAt, err = moment("closes_at", m.GetClosesAt()); return err },
		func() error { return checkWhole(&b) },
	)
	return b, m.GetTicketCap() == 0, err
}

func firstOf(checks ...func() error) error {
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// draftRules is what Ballot and DraftRules have in common.
type draftRules interface {
	GetCandidatePattern() string
	GetVotesPerVoter() int32
	GetVoterPeriod() *durationpb.Duration
	GetLimitScope() ballotv1.LimitScope
	GetVisibility() ballotv1.Visibility
	GetTicketless() bool
	GetHotFor() *durationpb.Duration
}

// rulesIn reads rules into a ballot.
type rulesIn struct{ *pgledger.Ballot }

// take reads what only a draft can change.
func (b rulesIn) take(m draftRules) error {
	b.CandidatePattern, b.VotesPerVoter, b.Ticketless = m.GetCandidatePattern(), int(m.GetVotesPerVoter()), m.GetTicketless()
	return firstOf(
		func() error { return checkPattern(b.CandidatePattern) },
		func() error { return checkLimit(m.GetVotesPerVoter()) },
		func() (err error) {
			b.VoterPeriod, err = length("voter_period", m.GetVoterPeriod(), shortestPeriod, longestPeriod)
			return err
		},
		func() (err error) { b.PerCandidate, err = perCandidate(m.GetLimitScope()); return err },
		func() (err error) { b.Visibility, err = visibilityOf(m.GetVisibility()); return err },
		func() (err error) {
			b.HotFor, err = length("hot_for", m.GetHotFor(), shortestHot, longestHot)
			return err
		},
	)
}

// takeTickets reads what tickets are like.
func (b rulesIn) takeTickets(m *ballotv1.Ballot) error {
	if err := checkCap(m.GetTicketCap()); err != nil {
		return err
	}
	if n := m.GetTicketCap(); n > 0 && n < noCap {
		b.TicketCap = &n
	}
	var err error
	b.TicketInterval, err = length("ticket_interval", m.GetTicketInterval(), shortestTicket, longestTicket)
	return err
}
