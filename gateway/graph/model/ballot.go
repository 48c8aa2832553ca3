package model

// Ballot is what is voted on.
type Ballot struct {
	ID                 string
	Title              string
	State              BallotState
	Candidates         []string
	CandidatePattern   string
	OpensAt            *string
	ClosesAt           *string
	VotesPerVoter      int32
	VoterPeriodSeconds *int32
	LimitScope         LimitScope
	Visibility         Visibility
	NeedsTicket        bool
	TicketCap          *int32
	TicketIntervalMs   *int32
	HotForSeconds      *int32
	CreatedAt          string
}
