package organise

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/littlevote/littlevote/gateway/graph/model"
	"github.com/littlevote/littlevote/gateway/internal/reads"
	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
)

// Create makes a ballot.
func (o *Organiser) Create(ctx context.Context, input model.CreateBallotInput) (*model.Ballot, error) {
	who, name, err := allowedOn(ctx, input.ID)
	if err != nil {
		return nil, err
	}
	ballot, err := newBallot(name, input)
	if err != nil {
		return nil, err
	}
	made, err := call(ctx, o, func(ctx context.Context) (*ballotv1.CreateBallotResponse, error) {
		return o.client.CreateBallot(ctx, &ballotv1.CreateBallotRequest{Ballot: ballot, Actor: who.Voter})
	})
	if err != nil {
		return nil, err
	}
	return reads.NewBallot(made.GetBallot())
}

func newBallot(name string, input model.CreateBallotInput) (*ballotv1.Ballot, error) {
	rules, err := newRules(input.Rules)
	if err != nil {
		return nil, err
	}
	opens, err := parseTime("opensAt", input.OpensAt)
	if err != nil {
		return nil, err
	}
	closes, err := parseTime("closesAt", input.ClosesAt)
	if err != nil {
		return nil, err
	}
	limit, interval, err := tickets(input.TicketCap, input.TicketIntervalMs)
	if err != nil {
		return nil, err
	}
	ballot := &ballotv1.Ballot{
		Name: name, State: states()[input.State], Candidates: input.Candidates, VotesPerVoter: rules.GetVotesPerVoter(),
		OpensAt: opens, ClosesAt: closes, Title: input.Title, CandidatePattern: rules.GetCandidatePattern(), TicketInterval: interval,
		Ticketless: rules.GetTicketless(), VoterPeriod: rules.GetVoterPeriod(), LimitScope: rules.GetLimitScope(),
		Visibility: rules.GetVisibility(), HotFor: rules.GetHotFor(),
	}
	if limit != nil {
		ballot.TicketCap = *limit
	}
	return ballot, nil
}

// Update changes a ballot.
func (o *Organiser) Update(ctx context.Context, id string, input model.UpdateBallotInput) (*model.Ballot, error) {
	who, name, err := allowedOn(ctx, id)
	if err != nil {
		return nil, err
	}
	request, err := newUpdate(input)
	if err != nil {
		return nil, err
	}
	request.Name, request.Actor = name, who.Voter
	changed, err := call(ctx, o, func(ctx context.Context) (*ballotv1.UpdateBallotResponse, error) {
		return o.client.UpdateBallot(ctx, request)
	})
	if err != nil {
		return nil, err
	}
	return reads.NewBallot(changed.GetBallot())
}

func newUpdate(input model.UpdateBallotInput) (*ballotv1.UpdateBallotRequest, error) {
	request := &ballotv1.UpdateBallotRequest{
		Title: input.Title, AddCandidates: input.AddCandidates, RemoveCandidates: input.RemoveCandidates,
	}
	var err error
	if request.OpensAt, err = parseBound("opensAt", input.OpensAt); err != nil {
		return nil, err
	}
	if request.ClosesAt, err = parseBound("closesAt", input.ClosesAt); err != nil {
		return nil, err
	}
	if request.TicketCap, request.TicketInterval, err = tickets(input.TicketCap, input.TicketIntervalMs); err != nil {
		return nil, err
	}
	if input.State != nil {
		state := states()[*input.State]
		request.State = &state
	}
	if input.Rules != nil {
		if request.Rules, err = newRules(input.Rules); err != nil {
			return nil, err
		}
	}
	return request, nil
}

// Close ends the admission of votes.
func (o *Organiser) Close(ctx context.Context, id string) (*model.Ballot, error) {
	who, name, err := allowedOn(ctx, id)
	if err != nil {
		return nil, err
	}
	closed, err := call(ctx, o, func(ctx context.Context) (*ballotv1.CloseBallotResponse, error) {
		return o.client.CloseBallot(ctx, &ballotv1.CloseBallotRequest{Name: name, Actor: who.Voter})
	})
	if err != nil {
		return nil, err
	}
	return reads.NewBallot(closed.GetBallot())
}

// Certify fixes the result of a closed ballot.
func (o *Organiser) Certify(ctx context.Context, id string) (*model.BallotResult, error) {
	who, name, err := allowedOn(ctx, id)
	if err != nil {
		return nil, err
	}
	certified, err := call(ctx, o, func(ctx context.Context) (*ballotv1.CertifyBallotResponse, error) {
		return o.client.CertifyBallot(ctx, &ballotv1.CertifyBallotRequest{Name: name, Actor: who.Voter})
	})
	if err != nil {
		return nil, err
	}
	return reads.NewResult(certified.GetResult()), nil
}

func newRules(input *model.BallotRulesInput) (*ballotv1.DraftRules, error) {
	rules := &ballotv1.DraftRules{
		CandidatePattern: input.CandidatePattern, VotesPerVoter: input.VotesPerVoter, Ticketless: !input.NeedsTicket,
		LimitScope: ballotv1.LimitScope_LIMIT_SCOPE_BALLOT, Visibility: visibilities()[input.Visibility],
	}
	if input.LimitScope == model.LimitScopeCandidate {
		rules.LimitScope = ballotv1.LimitScope_LIMIT_SCOPE_CANDIDATE
	}
	var err error
	if rules.VoterPeriod, err = duration("voterPeriodSeconds", input.VoterPeriodSeconds, time.Second); err != nil {
		return nil, err
	}
	rules.HotFor, err = duration("hotForSeconds", input.HotForSeconds, time.Second)
	return rules, err
}

func tickets(limit, intervalMs *int32) (*int64, *durationpb.Duration, error) {
	interval, err := duration("ticketIntervalMs", intervalMs, time.Millisecond)
	if err != nil || limit == nil {
		return nil, interval, err
	}
	if *limit < 1 {
		return nil, nil, notValid("ticketCap: expected 1 to 2147483647, which stands for none, or null")
	}
	uses := int64(*limit)
	return &uses, interval, nil
}

// duration is nil for null. The service knows the bounds; 0 means null to it, and to nobody else.
func duration(field string, n *int32, unit time.Duration) (*durationpb.Duration, error) {
	if n == nil {
		return nil, nil
	}
	if *n < 1 {
		return nil, notValid(field + ": expected a positive number or null")
	}
	return durationpb.New(time.Duration(*n) * unit), nil
}

// parseTime is nil for null.
func parseTime(field string, text *string) (*timestamppb.Timestamp, error) {
	if text == nil {
		return nil, nil
	}
	at, err := time.Parse(time.RFC3339, *text)
	if err != nil || at.Unix() <= 0 {
		return nil, notValid(field + ": expected a time after 1970 as RFC 3339 writes it, such as 2026-11-21T20:00:00Z")
	}
	return timestamppb.New(at), nil
}

// parseBound is parseTime where an empty text takes the bound away.
func parseBound(field string, text *string) (*timestamppb.Timestamp, error) {
	if text != nil && *text == "" {
		return &timestamppb.Timestamp{}, nil
	}
	return parseTime(field, text)
}

func states() map[model.BallotState]ballotv1.BallotState {
	return map[model.BallotState]ballotv1.BallotState{
		model.BallotStateDraft:     ballotv1.BallotState_BALLOT_STATE_DRAFT,
		model.BallotStateOpen:      ballotv1.BallotState_BALLOT_STATE_OPEN,
		model.BallotStatePaused:    ballotv1.BallotState_BALLOT_STATE_PAUSED,
		model.BallotStateClosed:    ballotv1.BallotState_BALLOT_STATE_CLOSED,
		model.BallotStateCertified: ballotv1.BallotState_BALLOT_STATE_CERTIFIED,
	}
}

func visibilities() map[model.Visibility]ballotv1.Visibility {
	return map[model.Visibility]ballotv1.Visibility{
		model.VisibilityAlways:     ballotv1.Visibility_VISIBILITY_ALWAYS,
		model.VisibilityAfterVote:  ballotv1.Visibility_VISIBILITY_AFTER_VOTE,
		model.VisibilityAfterClose: ballotv1.Visibility_VISIBILITY_AFTER_CLOSE,
		model.VisibilityNever:      ballotv1.Visibility_VISIBILITY_NEVER,
	}
}
