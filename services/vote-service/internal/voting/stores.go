package voting

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	eventv1 "github.com/littlevote/littlevote/proto/gen/littlevote/event/v1"
)

// Epochs says which ledger votes are decided in now, and whether what it said may still be told; see epoch.Participant.
type Epochs interface {
	Current() (epoch.Ledger, bool)
	Live(l epoch.Ledger) bool
	Suspect()
}

// Redis is the ledger of an epoch in Redis; see redisledger.Ledger.
type Redis interface {
	Admit(ctx context.Context, f redisledger.Fence, b *redisledger.Batch, outboxBound int, settle *redisledger.Settlement) (
		redisledger.Admitted, redisledger.SettleReply)
	Known(ctx context.Context, f redisledger.Fence, ballot string, id uuid.UUID) (redisledger.Verdict, bool)
	Settle(ctx context.Context, s *redisledger.Settlement) redisledger.SettleReply
	Refund(ctx context.Context, f redisledger.Fence, b *redisledger.Batch, v *redisledger.Verdict) (bool, error)
	Claim(ctx context.Context, f redisledger.Fence, ballot string, id uuid.UUID, me string) (
		*redisledger.Claimed, redisledger.How, error)
	Remember(ctx context.Context, f redisledger.Fence, ballot string, id uuid.UUID, keysAndHashes [][]byte) error
	Due(ctx context.Context, f redisledger.Fence, ballot string, lease time.Duration, limit int) ([]uuid.UUID, time.Duration, error)
	Tally(ctx context.Context, f redisledger.Fence, ballot string, names []string) ([]redisledger.Count, time.Time, error)
	LoadNew(ctx context.Context, f redisledger.Fence, b redisledger.Ballot, open func(context.Context) error) error
	PutRules(ctx context.Context, f redisledger.Fence, b redisledger.Ballot) error
	VoterState(ctx context.Context, f redisledger.Fence, ballot, voter, candidate string) (redisledger.VoterState, error)
	ColdVoters(ctx context.Context, f redisledger.Fence, ballot string, cursor uint64, limit int) ([]redisledger.ColdVoter, uint64, error)
	EvictVoters(ctx context.Context, f redisledger.Fence, ballot string, cold []redisledger.ColdVoter) (int64, error)
	KeyStatus(ctx context.Context, f redisledger.Fence, ballot string, key uuid.UUID) (redisledger.KeyState, uuid.UUID, error)
}

// Store is the ledger in Postgres.
type Store interface {
	Ballots(ctx context.Context) ([]pgledger.Ballot, error)
	BallotsNamed(ctx context.Context, names []string) ([]pgledger.Ballot, error)
	Apply(ctx context.Context, b pgledger.Batch) (pgledger.Result, error)
	Cast(ctx context.Context, b pgledger.CastBatch) (pgledger.CastResult, error)
	BatchApplied(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]bool, pgledger.Epoch, error)
	Lookup(ctx context.Context, ballot string, keys []uuid.UUID) (pgledger.Keys, error)
	VotersOf(ctx context.Context, b *pgledger.Ballot, keys []pgledger.VoterKey) (map[pgledger.VoterKey][]uuid.UUID, error)
	LastVote(ctx context.Context, ballot, voter, candidate string) (*pgledger.VoterVote, error)
	VoteOf(ctx context.Context, ballot string, id uuid.UUID) (*pgledger.Vote, error)
	Dropped(ctx context.Context, ballot string, id uuid.UUID) (bool, error)
	Tallies(ctx context.Context, ballot string, names []string) ([]pgledger.Tally, error)
	ReadsFormat(ctx context.Context) (int32, error)
	NameBallots(ctx context.Context, epoch int64, ballots []string) ([]string, error)
	StillOpen(ctx context.Context, epoch int64) error
}

// Topic is the log of the votes.
type Topic interface {
	// Produce writes a batch and waits until all in-sync replicas have it. sent says, on an error, that the record may be
	// in the log or get there yet; false means that it certainly never will.
	Produce(ctx context.Context, record *eventv1.VoteBatch, lane uint32) (sent bool, err error)
}

// postgres is the Store that is not a model.
type postgres struct{ pool *pgxpool.Pool }

// NewStore returns the store in a Postgres primary.
func NewStore(pool *pgxpool.Pool) Store { return postgres{pool} }

func (p postgres) Ballots(ctx context.Context) ([]pgledger.Ballot, error) {
	return pgledger.Ballots(ctx, p.pool)
}

func (p postgres) BallotsNamed(ctx context.Context, names []string) ([]pgledger.Ballot, error) {
	return pgledger.BallotsNamed(ctx, p.pool, names)
}

func (p postgres) Apply(ctx context.Context, b pgledger.Batch) (pgledger.Result, error) {
	return pgledger.Apply(ctx, p.pool, b)
}

func (p postgres) Cast(ctx context.Context, b pgledger.CastBatch) (pgledger.CastResult, error) {
	return pgledger.Cast(ctx, p.pool, b)
}

func (p postgres) BatchApplied(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]bool, pgledger.Epoch, error) {
	return pgledger.BatchApplied(ctx, p.pool, ids)
}

func (p postgres) Lookup(ctx context.Context, ballot string, keys []uuid.UUID) (pgledger.Keys, error) {
	return pgledger.Lookup(ctx, p.pool, ballot, keys)
}

func (p postgres) VotersOf(
	ctx context.Context, b *pgledger.Ballot, keys []pgledger.VoterKey,
) (map[pgledger.VoterKey][]uuid.UUID, error) {
	return pgledger.VotersOf(ctx, p.pool, b, keys)
}

func (p postgres) LastVote(ctx context.Context, ballot, voter, candidate string) (*pgledger.VoterVote, error) {
	return pgledger.LastVote(ctx, p.pool, ballot, voter, candidate)
}

func (p postgres) VoteOf(ctx context.Context, ballot string, id uuid.UUID) (*pgledger.Vote, error) {
	return pgledger.VoteOf(ctx, p.pool, ballot, id)
}

func (p postgres) Dropped(ctx context.Context, ballot string, id uuid.UUID) (bool, error) {
	return pgledger.Dropped(ctx, p.pool, ballot, id)
}

func (p postgres) Tallies(ctx context.Context, ballot string, names []string) ([]pgledger.Tally, error) {
	return pgledger.Tallies(ctx, p.pool, ballot, names)
}

func (p postgres) ReadsFormat(ctx context.Context) (int32, error) {
	return pgledger.ReadsFormat(ctx, p.pool)
}

func (p postgres) NameBallots(ctx context.Context, epoch int64, ballots []string) ([]string, error) {
	return pgledger.NameBallots(ctx, p.pool, epoch, ballots)
}

func (p postgres) StillOpen(ctx context.Context, epoch int64) error {
	return pgledger.StillOpen(ctx, p.pool, epoch)
}
