package ballots

import (
	"cmp"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/littlevote/littlevote/libs/certified"
	"github.com/littlevote/littlevote/libs/pgledger"
	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
)

var (
	states = map[string]ballotv1.BallotState{
		stateDraft:     ballotv1.BallotState_BALLOT_STATE_DRAFT,
		stateOpen:      ballotv1.BallotState_BALLOT_STATE_OPEN,
		statePaused:    ballotv1.BallotState_BALLOT_STATE_PAUSED,
		stateClosed:    ballotv1.BallotState_BALLOT_STATE_CLOSED,
		stateCertified: ballotv1.BallotState_BALLOT_STATE_CERTIFIED,
	}
	visibilities = map[string]ballotv1.Visibility{
		pgledger.VisibleAlways:     ballotv1.Visibility_VISIBILITY_ALWAYS,
		pgledger.VisibleAfterVote:  ballotv1.Visibility_VISIBILITY_AFTER_VOTE,
		pgledger.VisibleAfterClose: ballotv1.Visibility_VISIBILITY_AFTER_CLOSE,
		pgledger.VisibleNever:      ballotv1.Visibility_VISIBILITY_NEVER,
	}
)

const (
	stateDraft     = "draft"
	stateOpen      = "open"
	statePaused    = "paused"
	stateClosed    = "closed"
	stateCertified = "certified"
)

// message writes a ballot as an answer.
func message(b *pgledger.Ballot) *ballotv1.Ballot {
	scope := ballotv1.LimitScope_LIMIT_SCOPE_BALLOT
	if b.PerCandidate {
		scope = ballotv1.LimitScope_LIMIT_SCOPE_CANDIDATE
	}
	return &ballotv1.Ballot{
		Name:             b.Name,
		State:            states[b.State],
		Candidates:       b.Candidates,
		VotesPerVoter:    int32(b.VotesPerVoter),
		TicketCap:        capOf(b),
		OpensAt:          stamp(b.OpensAt),
		ClosesAt:         stamp(b.ClosesAt),
		Title:            b.Title,
		CandidatePattern: b.CandidatePattern,
		TicketInterval:   durationpb.New(b.TicketInterval),
		Ticketless:       b.Ticketless,
		VoterPeriod:      span(b.VoterPeriod),
		LimitScope:       scope,
		Visibility:       visibilities[b.Visibility],
		HotFor:           span(b.HotFor),
		CreatedAt:        timestamppb.New(b.CreatedAt),
	}
}

func stamp(t *time.Time) *timestamppb.Timestamp {
	if t == nil {
		return nil
	}
	return timestamppb.New(*t)
}

func span(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

// ranked returns the counts of a result: most votes first, equal ones by name.
func ranked(r *pgledger.BallotResult) []certified.Count {
	counts := make([]certified.Count, 0, len(r.Counts))
	for name, votes := range r.Counts {
		counts = append(counts, certified.Count{Candidate: name, Votes: votes})
	}
	slices.SortFunc(counts, func(a, b certified.Count) int {
		return cmp.Or(cmp.Compare(b.Votes, a.Votes), cmp.Compare(a.Candidate, b.Candidate))
	})
	return counts
}

// resultMessage writes a result as an answer.
func resultMessage(r *pgledger.BallotResult) *ballotv1.Result {
	m := &ballotv1.Result{
		Ballot: r.Ballot, Votes: r.Votes, CertifiedAt: timestamppb.New(r.At), Signed: r.Signed, Voided: r.Voided,
	}
	for _, c := range ranked(r) {
		m.Counts = append(m.Counts, &ballotv1.ResultCount{Candidate: c.Candidate, Votes: c.Votes})
	}
	return m
}

// document writes a result as it is signed.
func document(r *pgledger.BallotResult) *certified.Document {
	d := &certified.Document{
		Ballot: r.Ballot, Title: r.Title, Counts: ranked(r), Votes: r.Votes, Voided: r.Voided, Voids: []certified.Void{},
		CertifiedAt: r.At.UTC(),
	}
	for _, v := range r.Voids {
		d.Voids = append(d.Voids, certified.Void{
			ID: v.ID.String(), First: v.First, Last: v.Last, Reason: v.Reason, ProposedBy: v.ProposedBy, ProposedAt: v.ProposedAt.UTC(),
			ApprovedBy: v.ApprovedBy, ApprovedAt: v.ApprovedAt.UTC(), Votes: v.Votes,
		})
	}
	return d
}

func voidMessage(v *pgledger.Void) *ballotv1.Void {
	m := &ballotv1.Void{
		Id: v.ID.String(), Ballot: v.Ballot, FirstAdmissionNumber: v.First, LastAdmissionNumber: v.Last, Reason: v.Reason,
		ProposedBy: v.ProposedBy, ProposedAt: timestamppb.New(v.ProposedAt), ApprovedBy: v.ApprovedBy, Votes: v.Votes,
	}
	if v.ApprovedBy != "" {
		m.ApprovedAt = timestamppb.New(v.ApprovedAt)
	}
	return m
}

func auditMessage(e *pgledger.AuditEntry) *ballotv1.AuditEntry {
	return &ballotv1.AuditEntry{
		Id: e.ID, At: timestamppb.New(e.At), Actor: e.Actor, Action: e.Action, Ballot: e.Ballot, Details: string(e.Details),
	}
}

// visibilityOf reads who may see counts, or says which field is wrong.
func visibilityOf(v ballotv1.Visibility) (string, error) {
	if v == ballotv1.Visibility_VISIBILITY_UNSPECIFIED {
		return pgledger.VisibleAlways, nil
	}
	for text, known := range visibilities {
		if known == v {
			return text, nil
		}
	}
	return "", invalid("visibility: expected one of the known ones")
}

// perCandidate reads what a limit counts, or says which field is wrong.
func perCandidate(scope ballotv1.LimitScope) (bool, error) {
	switch scope {
	case ballotv1.LimitScope_LIMIT_SCOPE_UNSPECIFIED, ballotv1.LimitScope_LIMIT_SCOPE_BALLOT:
		return false, nil
	case ballotv1.LimitScope_LIMIT_SCOPE_CANDIDATE:
		return true, nil
	}
	return false, invalid("limit_scope: expected LIMIT_SCOPE_BALLOT or LIMIT_SCOPE_CANDIDATE")
}
