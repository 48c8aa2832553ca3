package organise

import (
	"context"
	"strconv"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/gateway/graph/model"
	"github.com/littlevote/littlevote/gateway/internal/identity"
	"github.com/littlevote/littlevote/gateway/internal/reads"
	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
)

// Voids returns a ballot's voids, oldest first.
func (o *Organiser) Voids(ctx context.Context, id string) ([]*model.Void, error) {
	who, name, err := allowedOn(ctx, id)
	if err != nil {
		return nil, err
	}
	found, err := call(ctx, o, func(ctx context.Context) (*ballotv1.ListVoidsResponse, error) {
		return o.client.ListVoids(ctx, &ballotv1.ListVoidsRequest{Ballot: name})
	})
	if err != nil {
		return nil, err
	}
	voids := make([]*model.Void, len(found.GetVoids()))
	for i, void := range found.GetVoids() {
		if voids[i], err = newVoid(who, void); err != nil {
			return nil, err
		}
	}
	return voids, nil
}

// Propose asks for votes to be voided.
func (o *Organiser) Propose(ctx context.Context, input model.ProposeVoidInput) (*model.Void, error) {
	who, name, err := allowedOn(ctx, input.Ballot)
	if err != nil {
		return nil, err
	}
	id, err := voidID(input.ID)
	if err != nil {
		return nil, err
	}
	first, firstErr := strconv.ParseInt(input.FirstAdmissionNumber, 10, 64)
	last, lastErr := strconv.ParseInt(input.LastAdmissionNumber, 10, 64)
	if firstErr != nil || lastErr != nil || first < 1 || last < first {
		return nil, notValid("firstAdmissionNumber, lastAdmissionNumber: expected decimal digits, from 1, the last not before the first")
	}
	proposed, err := call(ctx, o, func(ctx context.Context) (*ballotv1.ProposeVoidResponse, error) {
		return o.client.ProposeVoid(ctx, &ballotv1.ProposeVoidRequest{
			Ballot: name, FirstAdmissionNumber: first, LastAdmissionNumber: last, Reason: input.Reason, Actor: who.Voter, Id: id,
		})
	})
	if err != nil {
		return nil, err
	}
	return newVoid(who, proposed.GetVoid())
}

// Approve takes the votes of a proposed void out of the count.
func (o *Organiser) Approve(ctx context.Context, ballot, id string) (*model.Void, error) {
	who, name, err := allowedOn(ctx, ballot)
	if err != nil {
		return nil, err
	}
	if id, err = voidID(id); err != nil {
		return nil, err
	}
	approved, err := call(ctx, o, func(ctx context.Context) (*ballotv1.ApproveVoidResponse, error) {
		return o.client.ApproveVoid(ctx, &ballotv1.ApproveVoidRequest{Ballot: name, Id: id, Actor: who.Voter})
	})
	if err != nil {
		return nil, err
	}
	return newVoid(who, approved.GetVoid())
}

func voidID(text string) (string, error) {
	const length = 36
	id, err := uuid.Parse(text)
	if err != nil || len(text) != length {
		return "", notValid("id: expected a UUID of 36 characters")
	}
	return id.String(), nil
}

func newVoid(who identity.Identity, from *ballotv1.Void) (*model.Void, error) {
	ballot, err := own(who, from.GetBallot())
	if err != nil {
		return nil, err
	}
	void := &model.Void{
		ID: from.GetId(), Ballot: ballot, FirstAdmissionNumber: strconv.FormatInt(from.GetFirstAdmissionNumber(), 10),
		LastAdmissionNumber: strconv.FormatInt(from.GetLastAdmissionNumber(), 10), Reason: from.GetReason(), ProposedBy: from.GetProposedBy(),
		ProposedAt: reads.FormatTime(from.GetProposedAt().AsTime()), VotesExact: strconv.FormatInt(from.GetVotes(), 10),
	}
	if by := from.GetApprovedBy(); by != "" {
		at := reads.FormatTime(from.GetApprovedAt().AsTime())
		void.ApprovedBy, void.ApprovedAt = &by, &at
	}
	return void, nil
}
