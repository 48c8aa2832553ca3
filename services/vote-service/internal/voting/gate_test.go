package voting_test

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/littlevote/littlevote/libs/redisledger"
)

// gatedRedis is the model of Redis behind the stage's lock, with replies that may get lost.
type gatedRedis struct{ *stage }

func (g gatedRedis) Admit(
	ctx context.Context, f redisledger.Fence, b *redisledger.Batch, bound int, s *redisledger.Settlement,
) (redisledger.Admitted, redisledger.SettleReply) {
	g.mu.Lock()
	defer g.mu.Unlock()
	admitted, settled := g.redis.Admit(ctx, f, b, bound, s)
	if g.tried != nil && errors.Is(admitted.Err, redisledger.ErrWrongEpoch) {
		close(g.tried)
		g.tried = nil
	}
	if g.lost {
		settled = redisledger.SettleReply{Err: errAway}
	}
	if g.deaf && b != nil {
		admitted = redisledger.Admitted{Err: errAway}
	}
	return admitted, settled
}

func (g gatedRedis) Known(ctx context.Context, f redisledger.Fence, ballot string, id uuid.UUID) (redisledger.Verdict, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.deaf {
		return redisledger.Verdict{}, false
	}
	return g.redis.Known(ctx, f, ballot, id)
}

func (g gatedRedis) Settle(ctx context.Context, s *redisledger.Settlement) redisledger.SettleReply {
	g.mu.Lock()
	defer g.mu.Unlock()
	reply := g.redis.Settle(ctx, s)
	if g.lost {
		return redisledger.SettleReply{Err: errAway}
	}
	return reply
}

func (g gatedRedis) Refund(ctx context.Context, f redisledger.Fence, b *redisledger.Batch, v *redisledger.Verdict) (bool, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.redis.Refund(ctx, f, b, v)
}

func (g gatedRedis) Claim(
	ctx context.Context, f redisledger.Fence, ballot string, id uuid.UUID, me string,
) (*redisledger.Claimed, redisledger.How, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.redis.Claim(ctx, f, ballot, id, me)
}

func (g gatedRedis) Remember(ctx context.Context, f redisledger.Fence, ballot string, id uuid.UUID, keys [][]byte) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.redis.Remember(ctx, f, ballot, id, keys)
}

func (g gatedRedis) Due(
	ctx context.Context, f redisledger.Fence, ballot string, lease time.Duration, limit int,
) ([]uuid.UUID, time.Duration, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.redis.Due(ctx, f, ballot, lease, limit)
}

func (g gatedRedis) Tally(
	ctx context.Context, f redisledger.Fence, ballot string, names []string,
) ([]redisledger.Count, time.Time, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.redis.Tally(ctx, f, ballot, names)
}

func (g gatedRedis) LoadNew(
	ctx context.Context, f redisledger.Fence, b redisledger.Ballot, open func(context.Context) error,
) error {
	g.mu.Lock()
	tried := g.tried
	g.mu.Unlock()
	if tried != nil {
		<-tried
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.redis.LoadNew(ctx, f, b, open)
}

func (g gatedRedis) PutRules(ctx context.Context, f redisledger.Fence, b redisledger.Ballot) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ruled++
	return g.redis.PutRules(ctx, f, b)
}

func (g gatedRedis) KeyStatus(
	ctx context.Context, f redisledger.Fence, ballot string, key uuid.UUID,
) (redisledger.KeyState, uuid.UUID, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.redis.KeyStatus(ctx, f, ballot, key)
}

func (g gatedRedis) VoterState(
	ctx context.Context, f redisledger.Fence, ballot, voter, candidate string,
) (redisledger.VoterState, error) {
	g.mu.Lock()
	state, err := g.redis.VoterState(ctx, f, ballot, voter, candidate)
	then := g.afterLook
	g.afterLook = nil
	g.mu.Unlock()
	if then != nil {
		then()
	}
	return state, err
}

func (g gatedRedis) ColdVoters(
	ctx context.Context, f redisledger.Fence, ballot string, cursor uint64, limit int,
) ([]redisledger.ColdVoter, uint64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.looks++
	return g.redis.ColdVoters(ctx, f, ballot, cursor, limit)
}

func (g gatedRedis) EvictVoters(
	ctx context.Context, f redisledger.Fence, ballot string, cold []redisledger.ColdVoter,
) (int64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n, err := g.redis.EvictVoters(ctx, f, ballot, cold)
	g.evicted += n
	return n, err
}
