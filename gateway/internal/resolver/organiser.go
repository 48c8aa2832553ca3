package resolver

import (
	"context"

	"github.com/littlevote/littlevote/gateway/graph/model"
	"github.com/littlevote/littlevote/gateway/internal/reads"
)

// Organiser does what organisers ask for, and finds out whether the caller is one.
type Organiser interface {
	List(ctx context.Context, page reads.Page) (*model.BallotPage, error)
	Audit(ctx context.Context, ballot *string, page reads.Page) (*model.AuditPage, error)
	Voids(ctx context.Context, ballot string) ([]*model.Void, error)
	Create(ctx context.Context, input model.CreateBallotInput) (*model.Ballot, error)
	Update(ctx context.Context, id string, input model.UpdateBallotInput) (*model.Ballot, error)
	Close(ctx context.Context, id string) (*model.Ballot, error)
	Certify(ctx context.Context, id string) (*model.BallotResult, error)
	Propose(ctx context.Context, input model.ProposeVoidInput) (*model.Void, error)
	Approve(ctx context.Context, ballot, id string) (*model.Void, error)
}

func (q query) Ballots(ctx context.Context, first *int32, after *string) (*model.BallotPage, error) {
	page, refusal := pageOf(first, after, maxPage)
	if refusal != nil {
		return nil, refusal
	}
	return q.cfg.Organiser.List(ctx, page)
}

func (q query) AuditLog(ctx context.Context, ballot *string, first *int32, after *string) (*model.AuditPage, error) {
	page, refusal := pageOf(first, after, maxPage)
	if refusal != nil {
		return nil, refusal
	}
	return q.cfg.Organiser.Audit(ctx, ballot, page)
}

func (q query) Voids(ctx context.Context, ballot string) ([]*model.Void, error) {
	return q.cfg.Organiser.Voids(ctx, ballot)
}

func (m mutation) CreateBallot(ctx context.Context, input model.CreateBallotInput) (*model.Ballot, error) {
	return m.cfg.Organiser.Create(ctx, input)
}

func (m mutation) UpdateBallot(ctx context.Context, id string, input model.UpdateBallotInput) (*model.Ballot, error) {
	return m.cfg.Organiser.Update(ctx, id, input)
}

func (m mutation) CloseBallot(ctx context.Context, id string) (*model.Ballot, error) {
	return m.cfg.Organiser.Close(ctx, id)
}

func (m mutation) CertifyBallot(ctx context.Context, id string) (*model.BallotResult, error) {
	return m.cfg.Organiser.Certify(ctx, id)
}

func (m mutation) ProposeVoid(ctx context.Context, input model.ProposeVoidInput) (*model.Void, error) {
	return m.cfg.Organiser.Propose(ctx, input)
}

func (m mutation) ApproveVoid(ctx context.Context, ballot, id string) (*model.Void, error) {
	return m.cfg.Organiser.Approve(ctx, ballot, id)
}
