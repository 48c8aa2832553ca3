package reads

import (
	"context"
	"fmt"
	"strconv"

	"github.com/littlevote/littlevote/gateway/graph/model"
	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/tenant"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// Statuses asks what became of votes. It is safe for concurrent use.
type Statuses struct {
	client votev1.VoteServiceClient
	calls  *alone
}

// NewStatuses returns a reader; it has nothing to close.
func NewStatuses(client votev1.VoteServiceClient, cfg Config) *Statuses {
	return &Statuses{client: client, calls: newAlone(cfg)}
}

// Status returns what is known of a vote, or an answer.Refusal.
func (s *Statuses) Status(ctx context.Context, ballot, id string) (*model.VoteStatus, error) {
	var response *votev1.GetVoteStatusResponse
	var err error
	refused := s.calls.do(ctx, func(ctx context.Context) {
		response, err = again(ctx, func() (*votev1.GetVoteStatusResponse, error) {
			return s.client.GetVoteStatus(ctx, &votev1.GetVoteStatusRequest{Ballot: ballot, VoteId: id})
		})
	})
	if refused != nil {
		return nil, refused
	}
	if err != nil {
		refused := refusal(err)
		if refused.Code == statusv1.Code_CODE_INVALID_ARGUMENT {
			refused.Text = answer.VoteIDFormat
		}
		return nil, refused
	}
	state, known := stateOf(response.GetState())
	if !known {
		return nil, answer.RefusalOf(fmt.Errorf("the vote-service sent the state %v", response.GetState()))
	}
	return newStatus(ballot, id, state, response), nil
}

func newStatus(ballot, id string, state model.VoteState, response *votev1.GetVoteStatusResponse) *model.VoteStatus {
	status := &model.VoteStatus{ID: id, Ballot: tenant.Of(ballot).ID, State: state, Choices: make([]*model.VoteChoice, len(response.GetChoices()))}
	if response.GetAdmittedAt() != nil {
		admitted := FormatTime(response.GetAdmittedAt().AsTime())
		number := strconv.FormatInt(response.GetAdmissionNumber(), 10)
		status.AdmittedAt, status.AdmissionNumber = &admitted, &number
	}
	for i, choice := range response.GetChoices() {
		status.Choices[i] = &model.VoteChoice{Username: choice.GetCandidate(), Count: choice.GetCount()}
	}
	return status
}

func stateOf(state votev1.VoteState) (model.VoteState, bool) {
	switch state {
	case votev1.VoteState_VOTE_STATE_ABSENT:
		return model.VoteStateAbsent, true
	case votev1.VoteState_VOTE_STATE_ADMITTED:
		return model.VoteStateAdmitted, true
	case votev1.VoteState_VOTE_STATE_DURABLE:
		return model.VoteStateDurable, true
	case votev1.VoteState_VOTE_STATE_COUNTED:
		return model.VoteStateCounted, true
	case votev1.VoteState_VOTE_STATE_RETRACTED:
		return model.VoteStateRetracted, true
	case votev1.VoteState_VOTE_STATE_REFUSED:
		return model.VoteStateRefused, true
	case votev1.VoteState_VOTE_STATE_VOID:
		return model.VoteStateVoid, true
	default:
		return "", false
	}
}
