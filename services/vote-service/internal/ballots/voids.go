package ballots

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/faultpoint"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
)

// ProposeVoid implements the RPC as ballot.proto documents it.
func (s *Service) ProposeVoid(ctx context.Context, req *ballotv1.ProposeVoidRequest) (*ballotv1.ProposeVoidResponse, error) {
	ctx, cancel := bound(ctx, changeTimeout)
	defer cancel()
	want, err := voidOf(req)
	if err != nil {
		return nil, err
	}
	made, err := s.propose(ctx, want)
	if err != nil {
		return nil, s.failed(ctx, "propose a void", req.GetBallot(), err)
	}
	return &ballotv1.ProposeVoidResponse{Void: voidMessage(&made)}, nil
}

// voidOf reads a request, or says which field is wrong.
func voidOf(req *ballotv1.ProposeVoidRequest) (pgledger.Void, error) {
	v := pgledger.Void{
		Ballot: req.GetBallot(), First: req.GetFirstAdmissionNumber(), Last: req.GetLastAdmissionNumber(), Reason: req.GetReason(),
		ProposedBy: req.GetActor(),
	}
	err := firstOf(
		func() error { return checkName("ballot", v.Ballot) },
		func() error { return checkActor(v.ProposedBy) },
		func() error { return checkReason(v.Reason) },
		func() (err error) { v.ID, err = checkID(req.GetId()); return err },
		func() error {
			if v.First < 1 {
				return invalid("first_admission_number: expected 1 or more")
			}
			if v.Last < v.First {
				return invalid("last_admission_number: expected first_admission_number or more")
			}
			return nil
		},
	)
	return v, err
}

// propose writes a void down, of a ballot that is closed or whose time is over.
func (s *Service) propose(ctx context.Context, v pgledger.Void) (pgledger.Void, error) {
	b, err := pgledger.BallotNamed(ctx, s.Pool, v.Ballot)
	if err != nil {
		return pgledger.Void{}, err
	}
	if b.State != stateClosed && b.State != stateCertified {
		if err := s.shut(ctx, &b, v.ProposedBy); err != nil {
			return pgledger.Void{}, err
		}
	}
	made, err := pgledger.ProposeVoid(ctx, s.Pool, v)
	return made, tooLate(err)
}

// tooLate is for a ballot that was closed when it was looked at: what it is now, if it is not that, is certified.
func tooLate(err error) error {
	if errors.Is(err, pgledger.ErrNotClosed) {
		return forbidden("the ballot is certified: its result does not change any more")
	}
	return err
}

// ApproveVoid implements the RPC as ballot.proto documents it.
func (s *Service) ApproveVoid(ctx context.Context, req *ballotv1.ApproveVoidRequest) (*ballotv1.ApproveVoidResponse, error) {
	ctx, cancel := bound(ctx, certifyTimeout)
	defer cancel()
	id, err := checkID(req.GetId())
	if err == nil {
		err = firstOf(
			func() error { return checkName("ballot", req.GetBallot()) },
			func() error { return checkActor(req.GetActor()) },
		)
	}
	if err != nil {
		return nil, err
	}
	approved, err := s.approve(ctx, req.GetBallot(), id, req.GetActor())
	if err != nil {
		return nil, s.failed(ctx, "approve a void", req.GetBallot(), err)
	}
	return &ballotv1.ApproveVoidResponse{Void: voidMessage(&approved)}, nil
}

// approve takes a void's votes out of the count: in Postgres, and then in Redis. One that is approved already may not have
// come as far as Redis.
func (s *Service) approve(ctx context.Context, ballot string, id uuid.UUID, actor string) (pgledger.Void, error) {
	b, err := pgledger.BallotNamed(ctx, s.Pool, ballot)
	if err != nil {
		return pgledger.Void{}, err
	}
	v, err := s.void(ctx, ballot, id)
	if err != nil {
		return v, err
	}
	switch {
	case v.ProposedBy == actor:
		return v, pgledger.ErrSelfApproval
	case v.ApprovedBy != "":
		return v, s.show(ctx, ballot)
	case b.State == stateCertified:
		return v, tooLate(pgledger.ErrNotClosed)
	}
	err = s.drained(ctx, &b, actor, func(l epoch.Ledger, last redisledger.Cut) error {
		v, err = pgledger.ApproveVoid(ctx, s.Pool, pgledger.Approval{
			Ballot: ballot, Void: id, Actor: actor, Epoch: l.Epoch, Admissions: last.Admissions,
		})
		return tooLate(err)
	})
	if err != nil {
		return v, err
	}
	faultpoint.Hit("void.approved")
	return v, s.show(ctx, ballot)
}

func (s *Service) void(ctx context.Context, ballot string, id uuid.UUID) (pgledger.Void, error) {
	all, err := pgledger.Voids(ctx, s.Pool, ballot)
	if err != nil {
		return pgledger.Void{}, err
	}
	for _, v := range all {
		if v.ID == id {
			return v, nil
		}
	}
	return pgledger.Void{}, pgledger.ErrUnknownVoid
}

// show brings the counts of a closed ballot from Postgres into the Redis of the open epoch. An epoch that begins later is
// loaded with them; in one in Postgres they are what is read. Should this never get that far, the reconciler does it.
func (s *Service) show(ctx context.Context, ballot string) error {
	for {
		err := s.tryShow(ctx, ballot)
		if err == nil || pause(ctx) != nil {
			return err
		}
	}
}

func (s *Service) tryShow(ctx context.Context, ballot string) error {
	l, open := s.Epochs.Current()
	if !open {
		return waiting("an epoch to open")
	}
	if l.Mode == epoch.Postgres {
		return nil
	}
	admissions, counts, err := pgledger.VoidedCounts(ctx, s.Pool, ballot)
	if err != nil {
		return err
	}
	if err := s.Redis.SetCounts(ctx, l.Fence(), ballot, admissions, counts); err != nil {
		s.Epochs.Suspect()
		s.Log.DebugContext(ctx, "no counts set", "ballot", ballot, "error", err)
		return waiting("Redis, which does not show the void yet")
	}
	return nil
}

// ListVoids implements the RPC as ballot.proto documents it.
func (s *Service) ListVoids(ctx context.Context, req *ballotv1.ListVoidsRequest) (*ballotv1.ListVoidsResponse, error) {
	ctx, cancel := bound(ctx, readTimeout)
	defer cancel()
	if err := checkName("ballot", req.GetBallot()); err != nil {
		return nil, err
	}
	_, err := pgledger.BallotNamed(ctx, s.Pool, req.GetBallot())
	var all []pgledger.Void
	if err == nil {
		all, err = pgledger.Voids(ctx, s.Pool, req.GetBallot())
	}
	if err != nil {
		return nil, s.failed(ctx, "list voids", req.GetBallot(), err)
	}
	answer := &ballotv1.ListVoidsResponse{}
	for i := range all {
		answer.Voids = append(answer.Voids, voidMessage(&all[i]))
	}
	return answer, nil
}
