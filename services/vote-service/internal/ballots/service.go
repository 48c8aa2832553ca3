package ballots

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

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
	want, err := s.rulesOf(req.GetBallot())
	if err != nil {
		return nil, err
	}
	row, err := s.create(ctx, want)
	if err != nil {
		return nil, s.failed(ctx, "create", want.name, err)
	}
	return &ballotv1.CreateBallotResponse{Ballot: message(row)}, nil
}

// GetBallot implements the RPC as ballot.proto documents it.
func (s *Service) GetBallot(ctx context.Context, req *ballotv1.GetBallotRequest) (*ballotv1.GetBallotResponse, error) {
	ctx, cancel := bound(ctx, readTimeout)
	defer cancel()
	if err := checkName(req.GetName()); err != nil {
		return nil, err
	}
	row, err := s.find(ctx, req.GetName())
	if err != nil {
		return nil, s.failed(ctx, "get", req.GetName(), err)
	}
	return &ballotv1.GetBallotResponse{Ballot: message(row)}, nil
}

// CloseBallot implements the RPC as ballot.proto documents it.
func (s *Service) CloseBallot(ctx context.Context, req *ballotv1.CloseBallotRequest) (*ballotv1.CloseBallotResponse, error) {
	ctx, cancel := bound(ctx, changeTimeout)
	defer cancel()
	if err := checkName(req.GetName()); err != nil {
		return nil, err
	}
	row, err := s.close(ctx, req.GetName())
	if err != nil {
		return nil, s.failed(ctx, "close", req.GetName(), err)
	}
	return &ballotv1.CloseBallotResponse{Ballot: message(row)}, nil
}

// CertifyBallot implements the RPC as ballot.proto documents it.
func (s *Service) CertifyBallot(ctx context.Context, req *ballotv1.CertifyBallotRequest) (*ballotv1.CertifyBallotResponse, error) {
	ctx, cancel := bound(ctx, certifyTimeout)
	defer cancel()
	if err := checkName(req.GetName()); err != nil {
		return nil, err
	}
	result, err := s.certify(ctx, req.GetName())
	if err != nil {
		return nil, s.failed(ctx, "certify", req.GetName(), err)
	}
	return &ballotv1.CertifyBallotResponse{Result: resultMessage(result)}, nil
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

// marker is what Redis needs to know of a ballot.
func marker(b pgledger.Ballot) redisledger.Ballot {
	m := redisledger.Ballot{Name: b.Name, State: b.State, VotesPerVoter: int64(b.VotesPerVoter), Rules: b.RulesVersion}
	if b.OpensAt != nil {
		m.OpensAt = *b.OpensAt
	}
	if b.ClosesAt != nil {
		m.ClosesAt = *b.ClosesAt
	}
	return m
}
