package ballots

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/certified"
	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
)

// How long a call may take that came without a deadline, and how much before its deadline it is answered.
const (
	readTimeout    = 5 * time.Second
	changeTimeout  = 10 * time.Second
	certifyTimeout = 30 * time.Second
	answerMargin   = 100 * time.Millisecond
)

// How many entries a page of a list has.
const (
	defaultPage = 100
	largestPage = 1000
)

// pauseBetween is the pause between two looks at what is waited for.
const pauseBetween = 50 * time.Millisecond

// Epochs says which ledger votes are decided in now; see epoch.Participant.
type Epochs interface {
	Current() (epoch.Ledger, bool)
	Suspect()
}

// Redis is the ledger of an epoch in Redis; see redisledger.Ledger.
type Redis interface {
	LoadNew(ctx context.Context, f redisledger.Fence, b redisledger.Ballot, open func(context.Context) error) error
	PutRules(ctx context.Context, f redisledger.Fence, b redisledger.Ballot) error
	Cut(ctx context.Context, f redisledger.Fence, ballot string) (redisledger.Cut, error)
	SetCounts(ctx context.Context, f redisledger.Fence, ballot string, admissions int64, counts []redisledger.Count) error
}

// Topic is the log of the votes.
type Topic interface {
	// EndOffsets returns the topic's id and, per partition, the offset after its last record.
	EndOffsets(ctx context.Context) (uuid.UUID, map[int32]int64, error)
}

// Progress is how far the log is applied; see epoch.Store.
type Progress interface {
	// Behind counts the records up to ends that are not applied.
	Behind(ctx context.Context, topic uuid.UUID, ends map[int32]int64) (int64, error)
}

// Config is what a Service is made of.
type Config struct {
	Pool     *pgxpool.Pool // of the primary
	Redis    Redis
	Topic    Topic
	Progress Progress
	Epochs   Epochs
	IsName   func(string) bool // whether a text may be a candidate's name
	Signer   *certified.Signer // of results
	Log      *slog.Logger
}

// Service implements littlevote.ballot.v1.BallotService.
type Service struct{ Config }

// New returns the service.
func New(cfg Config) *Service { return &Service{cfg} }

// CreateBallot implements the RPC as ballot.proto documents it.
func (s *Service) CreateBallot(ctx context.Context, req *ballotv1.CreateBallotRequest) (*ballotv1.CreateBallotResponse, error) {
	ctx, cancel := bound(ctx, changeTimeout)
	defer cancel()
	want, ofMain, err := s.ballotOf(req.GetBallot())
	if err == nil {
		err = checkActor(req.GetActor())
	}
	if err != nil {
		return nil, err
	}
	made, err := s.create(ctx, want, ofMain, req.GetActor())
	if err != nil {
		return nil, s.failed(ctx, "create", want.Name, err)
	}
	return &ballotv1.CreateBallotResponse{Ballot: message(&made)}, nil
}

// GetBallot implements the RPC as ballot.proto documents it.
func (s *Service) GetBallot(ctx context.Context, req *ballotv1.GetBallotRequest) (*ballotv1.GetBallotResponse, error) {
	ctx, cancel := bound(ctx, readTimeout)
	defer cancel()
	if err := checkName("name", req.GetName()); err != nil {
		return nil, err
	}
	found, err := pgledger.BallotNamed(ctx, s.Pool, req.GetName())
	if err != nil {
		return nil, s.failed(ctx, "get", req.GetName(), err)
	}
	return &ballotv1.GetBallotResponse{Ballot: message(&found)}, nil
}

// ListBallots implements the RPC as ballot.proto documents it.
func (s *Service) ListBallots(ctx context.Context, req *ballotv1.ListBallotsRequest) (*ballotv1.ListBallotsResponse, error) {
	ctx, cancel := bound(ctx, readTimeout)
	defer cancel()
	size, err := pageSize(req.GetPageSize())
	if err == nil {
		err = checkTenant(req.GetTenant())
	}
	if err == nil && req.GetAfter() != "" {
		err = checkName("after", req.GetAfter())
	}
	if err != nil {
		return nil, err
	}
	list, err := pgledger.TenantBallots(ctx, s.Pool, req.GetTenant(), req.GetAfter(), size+1)
	if err != nil {
		return nil, s.failed(ctx, "list", "", err)
	}
	answer := &ballotv1.ListBallotsResponse{More: len(list) > size}
	for i := range list[:min(size, len(list))] {
		answer.Ballots = append(answer.Ballots, message(&list[i]))
	}
	if page, cut := cutPage(answer.GetBallots()); cut {
		answer.Ballots, answer.More = page, true
	}
	return answer, nil
}

// UpdateBallot implements the RPC as ballot.proto documents it.
func (s *Service) UpdateBallot(ctx context.Context, req *ballotv1.UpdateBallotRequest) (*ballotv1.UpdateBallotResponse, error) {
	ctx, cancel := bound(ctx, changeTimeout)
	defer cancel()
	wanted, err := s.changesOf(req)
	if err != nil {
		return nil, err
	}
	changed, err := s.update(ctx, wanted)
	if err != nil {
		return nil, s.failed(ctx, "update", req.GetName(), err)
	}
	return &ballotv1.UpdateBallotResponse{Ballot: message(&changed)}, nil
}

// CloseBallot implements the RPC as ballot.proto documents it.
func (s *Service) CloseBallot(ctx context.Context, req *ballotv1.CloseBallotRequest) (*ballotv1.CloseBallotResponse, error) {
	ctx, cancel := bound(ctx, changeTimeout)
	defer cancel()
	if err := checkDeed(req); err != nil {
		return nil, err
	}
	closed, err := s.close(ctx, req.GetName(), req.GetActor())
	if err != nil {
		return nil, s.failed(ctx, "close", req.GetName(), err)
	}
	return &ballotv1.CloseBallotResponse{Ballot: message(&closed)}, nil
}

// CertifyBallot implements the RPC as ballot.proto documents it.
func (s *Service) CertifyBallot(ctx context.Context, req *ballotv1.CertifyBallotRequest) (*ballotv1.CertifyBallotResponse, error) {
	ctx, cancel := bound(ctx, certifyTimeout)
	defer cancel()
	if err := checkDeed(req); err != nil {
		return nil, err
	}
	result, err := s.certify(ctx, req.GetName(), req.GetActor())
	if err != nil {
		return nil, s.failed(ctx, "certify", req.GetName(), err)
	}
	return &ballotv1.CertifyBallotResponse{Result: resultMessage(&result)}, nil
}

// GetResult implements the RPC as ballot.proto documents it.
func (s *Service) GetResult(ctx context.Context, req *ballotv1.GetResultRequest) (*ballotv1.GetResultResponse, error) {
	ctx, cancel := bound(ctx, readTimeout)
	defer cancel()
	if err := checkName("name", req.GetName()); err != nil {
		return nil, err
	}
	_, err := pgledger.BallotNamed(ctx, s.Pool, req.GetName())
	var result pgledger.BallotResult
	if err == nil {
		result, err = pgledger.ResultOf(ctx, s.Pool, req.GetName())
	}
	if err != nil {
		return nil, s.failed(ctx, "get the result", req.GetName(), err)
	}
	return &ballotv1.GetResultResponse{Result: resultMessage(&result)}, nil
}

// ListAudit implements the RPC as ballot.proto documents it.
func (s *Service) ListAudit(ctx context.Context, req *ballotv1.ListAuditRequest) (*ballotv1.ListAuditResponse, error) {
	ctx, cancel := bound(ctx, readTimeout)
	defer cancel()
	size, err := pageSize(req.GetPageSize())
	if err == nil {
		err = checkTenant(req.GetTenant())
	}
	if err == nil && req.GetBallot() != "" {
		err = checkName("ballot", req.GetBallot())
	}
	if err == nil && req.GetBefore() < 0 {
		err = invalid("before: expected an entry's id, or 0")
	}
	if err != nil {
		return nil, err
	}
	entries, err := pgledger.ListAudit(ctx, s.Pool, req.GetTenant(), req.GetBallot(), req.GetBefore(), size+1)
	if err != nil {
		return nil, s.failed(ctx, "list the audit", req.GetBallot(), err)
	}
	answer := &ballotv1.ListAuditResponse{More: len(entries) > size}
	for i := range entries[:min(size, len(entries))] {
		answer.Entries = append(answer.Entries, auditMessage(&entries[i]))
	}
	if page, cut := cutPage(answer.GetEntries()); cut {
		answer.Entries, answer.More = page, true
	}
	return answer, nil
}

// checkDeed checks what every request has that changes a ballot.
func checkDeed(req interface {
	GetName() string
	GetActor() string
},
) error {
	if err := checkName("name", req.GetName()); err != nil {
		return err
	}
	return checkActor(req.GetActor())
}

func pageSize(asked int32) (int, error) {
	switch {
	case asked == 0:
		return defaultPage, nil
	case asked < 0 || asked > largestPage:
		return 0, invalid("page_size: expected 1 to %d, or 0 for %d", largestPage, defaultPage)
	}
	return int(asked), nil
}

// bound gives a call a deadline that leaves time for the answer.
func bound(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc) {
	if end, ok := ctx.Deadline(); ok {
		most = min(most, time.Until(end)-answerMargin)
	}
	return context.WithTimeout(ctx, most)
}

// pause waits a little, or returns ctx's error.
func pause(ctx context.Context) error {
	timer := time.NewTimer(pauseBetween)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
