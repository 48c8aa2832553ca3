package voting

import (
	"context"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/littlevote/littlevote/libs/epoch"
	"github.com/littlevote/littlevote/libs/faultpoint"
	"github.com/littlevote/littlevote/libs/pgledger"
	"github.com/littlevote/littlevote/libs/redisledger"
	"github.com/littlevote/littlevote/libs/service"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// GetVoteStatus implements VoteServiceHandler.
func (e *Engine) GetVoteStatus(ctx context.Context, req *votev1.GetVoteStatusRequest) (*votev1.GetVoteStatusResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.Timeout)
	defer cancel()
	id, err := parseVoteID(req.GetVoteId())
	if err != nil {
		return nil, err
	}
	ballot, err := e.ballotNamed(ctx, ballotOf(req))
	if err != nil {
		return nil, err
	}
	status := &votev1.GetVoteStatusResponse{VoteId: id.String()}
	// Redis first: what it calls settled may not be in Postgres yet, and never goes back.
	key, batch := redisledger.KeyAbsent, uuid.Nil
	ledger, ok := e.Epochs.Current()
	if ok && ledger.Mode == epoch.Redis {
		if state, of, err := e.Redis.KeyStatus(ctx, ledger.Fence(), ballot.name, id); err == nil && e.Epochs.Live(ledger) {
			key, batch = state, of
		}
	}
	if key == redisledger.KeyPending {
		status.State = votev1.VoteState_VOTE_STATE_ADMITTED
		if applied, _, err := e.Store.BatchApplied(ctx, []uuid.UUID{batch}); err == nil && applied[batch] {
			status.State = votev1.VoteState_VOTE_STATE_DURABLE
		}
		return status, nil
	}
	found, err := e.findVote(ctx, ballot, id)
	switch {
	case found != nil:
		fill(status, found)
	case key == redisledger.KeySettled:
		status.State = votev1.VoteState_VOTE_STATE_COUNTED
	case err != nil:
		return nil, unreachable("the stores that know do not answer")
	default:
		return status, e.absent(ctx, ballot, id, status)
	}
	return status, nil
}

// fill says what the ledger holds of a vote.
func fill(status *votev1.GetVoteStatusResponse, v *pgledger.Vote) {
	status.State = votev1.VoteState_VOTE_STATE_COUNTED
	if v.Retracted {
		status.State = votev1.VoteState_VOTE_STATE_RETRACTED
	}
	if v.Void {
		status.State = votev1.VoteState_VOTE_STATE_VOID
	}
	status.AdmittedAt, status.AdmissionNumber = timestamppb.New(v.At), v.Admission
	for _, c := range v.Choices {
		status.Choices = append(status.Choices, &votev1.Choice{Candidate: c.Candidate, Count: c.Count})
	}
}

// absent tells a vote that was dropped for good from one that nobody has heard of.
func (e *Engine) absent(ctx context.Context, b *ballot, id uuid.UUID, status *votev1.GetVoteStatusResponse) error {
	dropped, err := e.Store.Dropped(ctx, b.name, id)
	if err != nil {
		return unreachable("the stores that know do not answer")
	}
	status.State = votev1.VoteState_VOTE_STATE_ABSENT
	if dropped {
		status.State = votev1.VoteState_VOTE_STATE_REFUSED
	}
	return nil
}

// findVote finds a vote in the ledger; nil says that it was not in the log either when this was called.
func (e *Engine) findVote(ctx context.Context, b *ballot, id uuid.UUID) (*pgledger.Vote, error) {
	return awaitVote(ctx, e, b, func(ctx context.Context) (*pgledger.Vote, error) { return e.Store.VoteOf(ctx, b.name, id) })
}

// awaitVote asks Postgres until it finds something, or until it would have found what was in the log when this was called:
// it waits for the persister to know that.
func awaitVote[T any](ctx context.Context, e *Engine, b *ballot, find func(context.Context) (*T, error)) (*T, error) {
	asked := time.Now()
	for {
		// What tells how far the ledger is comes first: what was in the log then is found after. The lag is taken from the time before
		// Postgres was asked: this process, and the persister, may stand still before the answer is read.
		looked := time.Now()
		ledger, ok := e.Epochs.Current()
		keys, err := e.Store.Lookup(ctx, b.name, nil)
		if err != nil {
			return nil, err
		}
		if faultpoint.Mutant("stall-ignored") {
			looked = time.Now()
		}
		v, err := find(ctx)
		if err != nil || v != nil {
			return v, err
		}
		if ok && ledger.Mode == epoch.Postgres || looked.Add(-keys.Lag).After(asked) {
			return nil, nil //nolint:nilnil // not found is an answer
		}
		if !pause(ctx, 20*time.Millisecond) {
			return nil, errLag
		}
	}
}

func parseVoteID(text string) (uuid.UUID, error) {
	id, err := uuid.Parse(text)
	if err != nil || len(text) != uuidLen || id == uuid.Nil {
		return uuid.Nil, service.Error(connect.CodeInvalidArgument,
			&statusv1.ErrorDetail{Code: statusv1.Code_CODE_INVALID_ARGUMENT, Outcome: statusv1.Outcome_OUTCOME_NONE},
			"vote_id: a UUID in its form of 36 characters")
	}
	return id, nil
}

// ballotNamed finds a ballot, and asks Postgres for one that is not known here yet.
func (e *Engine) ballotNamed(ctx context.Context, name string) (*ballot, error) {
	if b := e.ballots.find(name); b != nil {
		return b, nil
	}
	if refused := e.renew(ctx, name); refused != nil {
		return nil, unreachable(refused.detail)
	}
	if b := e.ballots.find(name); b != nil {
		return b, nil
	}
	if r := e.ballots.missing(); r != &refusedNoBallot {
		return nil, unreachable("the ballots are not read yet")
	}
	return nil, service.Error(connect.CodeNotFound,
		&statusv1.ErrorDetail{Code: statusv1.Code_CODE_BALLOT_NOT_FOUND, Outcome: statusv1.Outcome_OUTCOME_NONE},
		"there is no such ballot")
}

func unreachable(why string) error {
	return service.Error(connect.CodeUnavailable, &statusv1.ErrorDetail{
		Code: statusv1.Code_CODE_UNAVAILABLE, Outcome: statusv1.Outcome_OUTCOME_NONE, Retryable: true,
		RetryAfter: durationpb.New(refusedAway.retryAfter),
	}, "%s", why)
}
