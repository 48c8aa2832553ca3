package reads

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/littlevote/littlevote/gateway/graph/model"
	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/overload"
	"github.com/littlevote/littlevote/gateway/internal/tenant"
	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
)

// Ballots reads what ballots are. It is safe for concurrent use.
type Ballots struct {
	client  ballotv1.BallotServiceClient
	reads   *shared[string, *model.Ballot]
	results *Calls
}

// NewBallots starts a reader; Close ends it.
func NewBallots(client ballotv1.BallotServiceClient, cfg Config, observer overload.Observer) *Ballots {
	b := &Ballots{client: client, results: NewCalls(cfg)}
	b.reads = newShared(cfg, "GetBallot", observer, b.fetch)
	return b
}

// Get returns the ballot of a full name, or an answer.Refusal.
func (b *Ballots) Get(ctx context.Context, ballot string) (*model.Ballot, error) {
	return b.reads.get(ctx, ballot)
}

// Many calls found once for each full name with its ballot or an answer.Refusal.
func (b *Ballots) Many(ctx context.Context, ballots []string, found func(i int, ballot *model.Ballot, err error)) {
	b.reads.many(ctx, ballots, found)
}

// Waiting is how many reads wait to be sent.
func (b *Ballots) Waiting() int { return b.reads.batch.Len() }

// Close refuses new reads and waits for those that are under way, at most as long as ctx.
func (b *Ballots) Close(ctx context.Context) { b.reads.close(ctx) }

func (b *Ballots) fetch(ctx context.Context, ballots []string, answerTo func(i int, ballot *model.Ballot, err error)) {
	oneByOne(ctx, ballots, b.one, answerTo)
}

func (b *Ballots) one(ctx context.Context, ballot string) (*model.Ballot, error) {
	response, err := again(ctx, func() (*ballotv1.GetBallotResponse, error) {
		return b.client.GetBallot(ctx, &ballotv1.GetBallotRequest{Name: ballot})
	})
	if err != nil {
		return nil, refusal(err)
	}
	return NewBallot(response.GetBallot())
}

// NewBallot turns a ballot into what clients see.
func NewBallot(from *ballotv1.Ballot) (*model.Ballot, error) {
	state, stateKnown := ballotStates()[from.GetState()]
	visibility, visibilityKnown := visibilities()[from.GetVisibility()]
	if !stateKnown || !visibilityKnown {
		return nil, answer.RefusalOf(errors.New("a ballot whose state or visibility this gateway does not know"))
	}
	ballot := &model.Ballot{
		ID: tenant.Of(from.GetName()).ID, Title: from.GetTitle(), State: state, Candidates: from.GetCandidates(),
		CandidatePattern: from.GetCandidatePattern(), VotesPerVoter: from.GetVotesPerVoter(),
		LimitScope: model.LimitScopeBallot, Visibility: visibility, NeedsTicket: !from.GetTicketless(),
		CreatedAt: FormatTime(from.GetCreatedAt().AsTime()),
	}
	if from.GetLimitScope() == ballotv1.LimitScope_LIMIT_SCOPE_CANDIDATE {
		ballot.LimitScope = model.LimitScopeCandidate
	}
	if from.GetOpensAt() != nil {
		ballot.OpensAt = pointer(FormatTime(from.GetOpensAt().AsTime()))
	}
	if from.GetClosesAt() != nil {
		ballot.ClosesAt = pointer(FormatTime(from.GetClosesAt().AsTime()))
	}
	if ballot.NeedsTicket && from.GetTicketCap() > 0 {
		ballot.TicketCap = pointer(int32(min(from.GetTicketCap(), noCap)))
	}
	if ballot.NeedsTicket && from.GetTicketInterval() != nil {
		ballot.TicketIntervalMs = pointer(int32(from.GetTicketInterval().AsDuration() / time.Millisecond)) // at most 1 h
	}
	if from.GetVoterPeriod() != nil {
		ballot.VoterPeriodSeconds = pointer(int32(from.GetVoterPeriod().AsDuration() / time.Second)) // at most 1 year
	}
	if from.GetHotFor() != nil {
		ballot.HotForSeconds = pointer(int32(from.GetHotFor().AsDuration() / time.Second)) // at most 1 year
	}
	return ballot, nil
}

// noCap is the cap that is none.
const noCap = 1<<31 - 1

func ballotStates() map[ballotv1.BallotState]model.BallotState {
	return map[ballotv1.BallotState]model.BallotState{
		ballotv1.BallotState_BALLOT_STATE_DRAFT:     model.BallotStateDraft,
		ballotv1.BallotState_BALLOT_STATE_OPEN:      model.BallotStateOpen,
		ballotv1.BallotState_BALLOT_STATE_PAUSED:    model.BallotStatePaused,
		ballotv1.BallotState_BALLOT_STATE_CLOSED:    model.BallotStateClosed,
		ballotv1.BallotState_BALLOT_STATE_CERTIFIED: model.BallotStateCertified,
	}
}

func visibilities() map[ballotv1.Visibility]model.Visibility {
	return map[ballotv1.Visibility]model.Visibility{
		ballotv1.Visibility_VISIBILITY_UNSPECIFIED: model.VisibilityAlways,
		ballotv1.Visibility_VISIBILITY_ALWAYS:      model.VisibilityAlways,
		ballotv1.Visibility_VISIBILITY_AFTER_VOTE:  model.VisibilityAfterVote,
		ballotv1.Visibility_VISIBILITY_AFTER_CLOSE: model.VisibilityAfterClose,
		ballotv1.Visibility_VISIBILITY_NEVER:       model.VisibilityNever,
	}
}

func pointer[T any](value T) *T { return &value }

// optional is nil for an empty text.
func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// Result returns the certified result of a ballot, or an answer.Refusal.
func (b *Ballots) Result(ctx context.Context, ballot string) (*model.BallotResult, error) {
	response, err := Call(ctx, b.results, func(ctx context.Context) (*ballotv1.GetResultResponse, error) {
		return b.client.GetResult(ctx, &ballotv1.GetResultRequest{Name: ballot})
	})
	if err != nil {
		return nil, err
	}
	return NewResult(response.GetResult()), nil
}

// NewResult turns a result into what clients see.
func NewResult(from *ballotv1.Result) *model.BallotResult {
	result := &model.BallotResult{
		Ballot: tenant.Of(from.GetBallot()).ID, FinalCounts: make([]*model.FinalCount, len(from.GetCounts())),
		TotalExact: strconv.FormatInt(from.GetVotes(), 10), VoidedExact: strconv.FormatInt(from.GetVoided(), 10),
		CertifiedAt: FormatTime(from.GetCertifiedAt().AsTime()), Signed: from.GetSigned(),
	}
	for i, count := range from.GetCounts() {
		result.FinalCounts[i] = &model.FinalCount{Username: count.GetCandidate(), VotesExact: strconv.FormatInt(count.GetVotes(), 10)}
	}
	return result
}
