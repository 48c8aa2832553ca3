package ballots

import (
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/littlevote/littlevote/libs/pgledger"
	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
)

const (
	maxCandidates    = 1000
	maxVotesPerVoter = 100
	// noCap is how a ticket without a cap is written, as in a ticket's own uses left.
	noCap = math.MaxInt32
)

var nameFormat = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

func checkName(name string) error {
	if !nameFormat.MatchString(name) {
		return invalid("name: expected 1 to 64 of a-z, 0-9 and -")
	}
	return nil
}

// rules are what a request asks for. The decisions are made in whole milliseconds, so the times are, too.
type rules struct {
	name          string
	candidates    []string // nil where any name will do
	votesPerVoter int32    // 0: no limit
	ticketCap     int64    // noCap: none; 0: as the ballot main has it, which follows the setting ticket.cap
	opens, closes *time.Time
}

// rulesOf reads a request, or says which field is wrong.
func (s *Service) rulesOf(b *ballotv1.Ballot) (rules, error) {
	if b == nil {
		return rules{}, invalid("ballot: expected a ballot")
	}
	want := rules{name: b.GetName(), votesPerVoter: b.GetVotesPerVoter(), ticketCap: b.GetTicketCap()}
	if err := checkName(want.name); err != nil {
		return want, err
	}
	if want.votesPerVoter < 0 || want.votesPerVoter > maxVotesPerVoter {
		return want, invalid("votes_per_voter: expected 1 to %d, or 0 for no limit", maxVotesPerVoter)
	}
	if want.ticketCap < 0 || want.ticketCap > noCap {
		return want, invalid("ticket_cap: expected 1 to %d, which stands for none, or 0 for the setting ticket.cap", noCap)
	}
	if len(b.GetCandidates()) > maxCandidates {
		return want, invalid("candidates: expected at most %d names", maxCandidates)
	}
	known := make(map[string]bool, len(b.GetCandidates()))
	for i, name := range b.GetCandidates() {
		if !s.IsName(name) {
			return want, invalid("candidates[%d]: expected a name of printable text without spaces around it", i)
		}
		if known[name] {
			return want, invalid("candidates[%d]: the name stands there twice", i)
		}
		known[name] = true
	}
	if len(known) > 0 {
		want.candidates = b.GetCandidates()
	}
	return want, want.takeTimes(b)
}

func (want *rules) takeTimes(b *ballotv1.Ballot) error {
	var err error
	if want.opens, err = moment("opens_at", b.GetOpensAt()); err != nil {
		return err
	}
	if want.closes, err = moment("closes_at", b.GetClosesAt()); err != nil {
		return err
	}
	if want.opens != nil && want.closes != nil && !want.opens.Before(*want.closes) {
		return invalid("closes_at: expected a time after opens_at")
	}
	return nil
}

func moment(field string, t *timestamppb.Timestamp) (*time.Time, error) {
	if t == nil {
		return nil, nil //nolint:nilnil // no bound
	}
	if err := t.CheckValid(); err != nil || t.GetSeconds() < 0 {
		return nil, invalid("%s: expected a time between 1970 and 9999", field)
	}
	at := t.AsTime().Truncate(time.Millisecond)
	return &at, nil
}

// made says whether a ballot has these rules, given those of main.
func (want rules) made(b, main pgledger.Ballot) bool {
	limit := want.ticketCap
	if limit == 0 {
		limit = capOf(main)
	}
	return slices.Equal(want.candidates, b.Candidates) && int(want.votesPerVoter) == b.VotesPerVoter && limit == capOf(b) &&
		sameMoment(want.opens, b.OpensAt) && sameMoment(want.closes, b.ClosesAt)
}

func sameMoment(a, b *time.Time) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(*b)
}

func capOf(b pgledger.Ballot) int64 {
	if b.TicketCap == nil {
		return noCap
	}
	return *b.TicketCap
}

var states = map[string]ballotv1.BallotState{
	"draft":     ballotv1.BallotState_BALLOT_STATE_DRAFT,
	"open":      ballotv1.BallotState_BALLOT_STATE_OPEN,
	"paused":    ballotv1.BallotState_BALLOT_STATE_PAUSED,
	"closed":    ballotv1.BallotState_BALLOT_STATE_CLOSED,
	"certified": ballotv1.BallotState_BALLOT_STATE_CERTIFIED,
}

// message writes a ballot as an answer.
func message(b pgledger.Ballot) *ballotv1.Ballot {
	m := &ballotv1.Ballot{
		Name: b.Name, State: states[b.State], Candidates: b.Candidates,
		VotesPerVoter: int32(b.VotesPerVoter), TicketCap: capOf(b),
	}
	if b.OpensAt != nil {
		m.OpensAt = timestamppb.New(*b.OpensAt)
	}
	if b.ClosesAt != nil {
		m.ClosesAt = timestamppb.New(*b.ClosesAt)
	}
	return m
}

// resultMessage writes a result as an answer, by name.
func resultMessage(r pgledger.BallotResult) *ballotv1.Result {
	m := &ballotv1.Result{Ballot: r.Ballot, Votes: r.Votes, CertifiedAt: timestamppb.New(r.At)}
	for name, votes := range r.Counts {
		m.Counts = append(m.Counts, &ballotv1.ResultCount{Candidate: name, Votes: votes})
	}
	slices.SortFunc(m.Counts, func(a, b *ballotv1.ResultCount) int {
		return strings.Compare(a.GetCandidate(), b.GetCandidate())
	})
	return m
}
