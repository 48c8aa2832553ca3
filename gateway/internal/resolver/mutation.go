package resolver

import (
	"context"
	"strings"
	"time"

	"github.com/littlevote/littlevote/gateway/graph/model"
	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/identity"
	"github.com/littlevote/littlevote/gateway/internal/reads"
	"github.com/littlevote/littlevote/gateway/internal/tenant"
	"github.com/littlevote/littlevote/gateway/internal/votes"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

type mutation struct{ *Resolver }

// Vote votes with the caller's ticket. Only dates that are no dates are an error; every other answer is data.
func (m mutation) Vote(ctx context.Context, input model.VoteInput, ballot *string) (*model.VoteResponse, error) {
	if !isDate(input.Ticket.ExpiresAt) || !isDate(input.Ticket.CreatedAt) {
		return nil, answer.NotValid(answer.DateFormat)
	}
	if ballot != nil && input.Ballot != nil && *ballot != *input.Ballot {
		return m.refuse(ctx, input.Usernames, statusv1.Code_CODE_INVALID_ARGUMENT, answer.BallotConflict), nil
	}
	if input.Ballot != nil {
		ballot = input.Ballot
	}
	vote, refusal := m.accept(ctx, input.Usernames, ballot, input.IdempotencyKey)
	if refusal != nil {
		return refusal, nil
	}
	vote.Ticket = &votev1.TicketRef{Value: input.Ticket.Value, Version: input.Ticket.Version}
	if code := checkTicket(m.cfg.Keys, vote.Ticket, vote.Ballot, vote.Key != "", m.cfg.Now()); code != statusv1.Code_CODE_OK {
		return m.refuse(ctx, input.Usernames, code, answer.ForCode(code)), nil
	}
	return m.cast(ctx, vote), nil
}

// TicketAndVote votes with whichever ticket is the newest. Every answer is data.
func (m mutation) TicketAndVote(ctx context.Context, usernames []string, ballot, key *string) (*model.VoteResponse, error) {
	vote, refusal := m.accept(ctx, usernames, ballot, key)
	if refusal != nil {
		return refusal, nil
	}
	return m.cast(ctx, vote), nil
}

// ChangeVote votes in the place of an earlier vote of the caller. Every answer is data but that to a date that is none.
func (m mutation) ChangeVote(
	ctx context.Context, id string, usernames []string, ballot *string, held *model.TicketInput, key *string,
) (*model.VoteResponse, error) {
	if held != nil && (!isDate(held.ExpiresAt) || !isDate(held.CreatedAt)) {
		return nil, answer.NotValid(answer.DateFormat)
	}
	if identity.From(ctx).Voter == "" {
		return m.refuse(ctx, usernames, statusv1.Code_CODE_UNAUTHENTICATED, answer.Unauthenticated), nil
	}
	vote, refusal := m.accept(ctx, usernames, ballot, key)
	if refusal != nil {
		return refusal, nil
	}
	var ok bool
	if vote.Replaces, ok = canonicalUUID(id); !ok || vote.Replaces == vote.Key {
		return m.refuse(ctx, usernames, statusv1.Code_CODE_INVALID_ARGUMENT, answer.VoteIDFormat), nil
	}
	if held != nil {
		vote.Ticket = &votev1.TicketRef{Value: held.Value, Version: held.Version}
		if code := checkTicket(m.cfg.Keys, vote.Ticket, vote.Ballot, vote.Key != "", m.cfg.Now()); code != statusv1.Code_CODE_OK {
			return m.refuse(ctx, usernames, code, answer.ForCode(code)), nil
		}
	}
	return m.cast(ctx, vote), nil
}

// RetractVote takes a vote of the caller back. Every answer is data.
func (m mutation) RetractVote(ctx context.Context, id string, ballot, key *string) (*model.VoteResponse, error) {
	none := []string{}
	invalid := func(text answer.Text) (*model.VoteResponse, error) {
		return m.refuse(ctx, none, statusv1.Code_CODE_INVALID_ARGUMENT, text), nil
	}
	if identity.From(ctx).Voter == "" {
		return m.refuse(ctx, none, statusv1.Code_CODE_UNAUTHENTICATED, answer.Unauthenticated), nil
	}
	name, ok := ballotName(ctx, ballot)
	if !ok {
		return invalid(answer.BallotFormat)
	}
	vote, ok := canonicalUUID(id)
	if !ok {
		return invalid(answer.VoteIDFormat)
	}
	canonical, ok := idempotencyKey(key)
	if !ok || canonical == vote {
		return invalid(answer.KeyFormat)
	}
	verdict := m.cfg.Voter.Retract(ctx, name, vote, canonical)
	response := m.respond(ctx, verdict, votes.Vote{Ballot: name, Candidates: none, Key: canonical})
	switch {
	case response.Success:
		response.Message = m.cfg.Texts.Say(answer.Retracted, m.language(ctx))
	case verdict.GetCode() == statusv1.Code_CODE_INVALID_ARGUMENT:
		response.Message = m.cfg.Texts.Say(answer.Invalid, m.language(ctx))
	}
	return response, nil
}

// accept checks what all votes have in common.
func (m mutation) accept(ctx context.Context, usernames []string, ballot, key *string) (votes.Vote, *model.VoteResponse) {
	invalid := func(text answer.Text) (votes.Vote, *model.VoteResponse) {
		return votes.Vote{}, m.refuse(ctx, usernames, statusv1.Code_CODE_INVALID_ARGUMENT, text)
	}
	name, ok := ballotName(ctx, ballot)
	if !ok {
		return invalid(answer.BallotFormat)
	}
	if problem, ok := names(usernames, name); !ok {
		return invalid(problem)
	}
	canonical, ok := idempotencyKey(key)
	if !ok {
		return invalid(answer.KeyFormat)
	}
	return votes.Vote{Ballot: name, Candidates: usernames, Key: canonical}, nil
}

// refuse is the answer to a vote that goes no further than here. The same vote will never succeed.
func (m mutation) refuse(ctx context.Context, usernames []string, code statusv1.Code, text answer.Text) *model.VoteResponse {
	return &model.VoteResponse{
		Message:   m.cfg.Texts.Say(text, m.language(ctx)),
		Usernames: usernames,
		Timestamp: m.cfg.Now().UTC().Format(reads.TimeFormat),
		Code:      m.cfg.Texts.Name(code),
		Outcome:   model.OutcomeNone,
	}
}

func (m mutation) cast(ctx context.Context, vote votes.Vote) *model.VoteResponse {
	return m.respond(ctx, m.cfg.Voter.Cast(ctx, vote), vote)
}

// respond turns a verdict into what clients see.
func (m mutation) respond(ctx context.Context, verdict *votev1.Verdict, vote votes.Vote) *model.VoteResponse {
	decided := m.cfg.Now()
	if verdict.GetDecidedAt() != nil {
		decided = verdict.GetDecidedAt().AsTime()
	}
	response := &model.VoteResponse{
		Success:   verdict.GetCode() == statusv1.Code_CODE_OK,
		Message:   m.cfg.Texts.Say(text(verdict, vote), m.language(ctx)),
		Usernames: vote.Candidates,
		Timestamp: decided.UTC().Format(reads.TimeFormat),
		Code:      m.cfg.Texts.Name(verdict.GetCode()),
		Outcome:   outcome(verdict.GetOutcome()),
		Retryable: verdict.GetRetryable(),
		VoteID:    optional(verdict.GetVoteId()),
		Token:     optional(verdict.GetToken()),
	}
	if response.Outcome == model.OutcomeUnknown && vote.Key == "" {
		response.Retryable = false // it might count twice
	}
	if after := verdict.GetRetryAfter().AsDuration(); response.Retryable && after > 0 {
		ms := int32(min((after+time.Millisecond-1)/time.Millisecond, maxRetryAfterMs))
		response.RetryAfterMs = &ms
	}
	if response.Success {
		response.Totals = totals(verdict, tenant.Of(vote.Ballot).ID, response.Timestamp)
	}
	return response
}

// maxRetryAfterMs is an hour; nobody waits longer, and it fits a GraphQL Int.
const maxRetryAfterMs = 3_600_000

// text is what to say of a verdict where its code alone does not tell.
func text(verdict *votev1.Verdict, vote votes.Vote) answer.Text {
	switch verdict.GetCode() {
	case statusv1.Code_CODE_INVALID_ARGUMENT:
		if field, _, named := strings.Cut(verdict.GetDetail(), ":"); named && !strings.HasPrefix(field, "choices") {
			return answer.Invalid
		}
		return answer.NameRule(vote.Ballot)
	case statusv1.Code_CODE_OUTCOME_UNKNOWN:
		if vote.Key == "" {
			return answer.OutcomeUnknownKeyless
		}
		return answer.OutcomeUnknown
	default:
		return answer.ForCode(verdict.GetCode())
	}
}

// outcome never turns something that is not known into a promise.
func outcome(of statusv1.Outcome) model.Outcome {
	switch of {
	case statusv1.Outcome_OUTCOME_COUNTED:
		return model.OutcomeCounted
	case statusv1.Outcome_OUTCOME_NONE:
		return model.OutcomeNone
	default:
		return model.OutcomeUnknown
	}
}

func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// totals are true at the moment of the decision, and changed at it.
func totals(verdict *votev1.Verdict, ballot, decided string) []*model.UserVote {
	block := make([]model.UserVote, len(verdict.GetTotals()))
	list := make([]*model.UserVote, len(block))
	for i, total := range verdict.GetTotals() {
		block[i] = model.UserVote{
			Ballot: ballot, Username: total.GetCandidate(), Count: total.GetVotes(), UpdatedAt: decided, AsOf: decided,
		}
		list[i] = &block[i]
	}
	return list
}
