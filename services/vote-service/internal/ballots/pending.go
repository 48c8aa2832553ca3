package ballots

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
)

func errNotYet() error {
	return connect.NewError(connect.CodeUnimplemented, errors.New("this version of the service has no such operation"))
}

// ListBallots implements BallotServiceHandler.
func (s *Service) ListBallots(context.Context, *ballotv1.ListBallotsRequest) (*ballotv1.ListBallotsResponse, error) {
	return nil, errNotYet()
}

// UpdateBallot implements BallotServiceHandler.
func (s *Service) UpdateBallot(context.Context, *ballotv1.UpdateBallotRequest) (*ballotv1.UpdateBallotResponse, error) {
	return nil, errNotYet()
}

// GetResult implements BallotServiceHandler.
func (s *Service) GetResult(context.Context, *ballotv1.GetResultRequest) (*ballotv1.GetResultResponse, error) {
	return nil, errNotYet()
}

// ProposeVoid implements BallotServiceHandler.
func (s *Service) ProposeVoid(context.Context, *ballotv1.ProposeVoidRequest) (*ballotv1.ProposeVoidResponse, error) {
	return nil, errNotYet()
}

// ApproveVoid implements BallotServiceHandler.
func (s *Service) ApproveVoid(context.Context, *ballotv1.ApproveVoidRequest) (*ballotv1.ApproveVoidResponse, error) {
	return nil, errNotYet()
}

// ListVoids implements BallotServiceHandler.
func (s *Service) ListVoids(context.Context, *ballotv1.ListVoidsRequest) (*ballotv1.ListVoidsResponse, error) {
	return nil, errNotYet()
}

// ListAudit implements BallotServiceHandler.
func (s *Service) ListAudit(context.Context, *ballotv1.ListAuditRequest) (*ballotv1.ListAuditResponse, error) {
	return nil, errNotYet()
}
