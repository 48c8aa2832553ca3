package reads

import (
	"context"
	"errors"

	"github.com/littlevote/littlevote/gateway/graph/model"
	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/identity"
	"github.com/littlevote/littlevote/gateway/internal/overload"
	"github.com/littlevote/littlevote/gateway/internal/tenant"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// allWeight is how many single reads a read of all candidates counts for: an open ballot has up to 10,000 of them, and
// the answer of one call must stay within what the connection takes.
const allWeight = 125

// never is the updatedAt of a candidate that nobody voted for.
const never = "1970-01-01T00:00:00Z"

// Tallies reads counts. It is safe for concurrent use.
type Tallies struct {
	client   queryv1.QueryServiceClient
	maxBatch int
	reads    *shared[tallyKey, []*model.UserVote]
	exact    *alone // reads with a consistency token: each may wait until its deadline
}

// tallyKey is one question; all candidates where none is named. Only who may see the same has the same question.
type tallyKey struct {
	ballot    string
	candidate string
	all       bool
	viewer    viewer
}

// viewer is who reads.
type viewer struct {
	voter     string
	organiser bool
}

// viewerOf is taken from the context, so that no read can leave it out.
func viewerOf(ctx context.Context) viewer {
	who := identity.From(ctx)
	return viewer{voter: who.Voter, organiser: who.Organiser()}
}

// message is nil for somebody unknown.
func (v viewer) message() *queryv1.Viewer {
	if v == (viewer{}) {
		return nil
	}
	return &queryv1.Viewer{Voter: v.voter, Organiser: v.organiser}
}

// NewTallies starts a reader; Close ends it.
func NewTallies(client queryv1.QueryServiceClient, cfg Config, observer overload.Observer) *Tallies {
	t := &Tallies{client: client, maxBatch: cfg.MaxBatch, exact: newAlone(cfg)}
	t.reads = newShared(cfg, "GetTallies", observer, t.fetch)
	return t
}

// One returns the count of one candidate, or an answer.Refusal. Where atLeast is not empty the count is not older than
// the vote that this token came with.
func (t *Tallies) One(ctx context.Context, ballot, candidate, atLeast string) (*model.UserVote, error) {
	votes, err := t.find(ctx, tallyKey{ballot: ballot, candidate: candidate, viewer: viewerOf(ctx)}, atLeast)
	if err != nil {
		return nil, err
	}
	return votes[0], nil
}

// All returns the counts of all candidates of a ballot by name, or an answer.Refusal; atLeast is as for One.
func (t *Tallies) All(ctx context.Context, ballot, atLeast string) ([]*model.UserVote, error) {
	return t.find(ctx, tallyKey{ballot: ballot, all: true, viewer: viewerOf(ctx)}, atLeast)
}

func (t *Tallies) find(ctx context.Context, key tallyKey, atLeast string) ([]*model.UserVote, error) {
	if atLeast == "" {
		return t.reads.get(ctx, key)
	}
	var votes []*model.UserVote
	var err error
	if refused := t.exact.do(ctx, func(ctx context.Context) { votes, err = t.notOlder(ctx, key, atLeast) }); refused != nil {
		return nil, refused
	}
	var refused *answer.Refusal
	if !errors.As(err, &refused) {
		return votes, err
	}
	switch refused.Code {
	case statusv1.Code_CODE_UNAVAILABLE:
		return nil, notReached(err)
	case statusv1.Code_CODE_INVALID_ARGUMENT:
		// Either the name or the token: a read without the token tells which.
		if _, err := t.reads.get(ctx, key); err != nil {
			return nil, err
		}
		return nil, answer.NotValid(answer.TokenFormat)
	default:
		return nil, refused
	}
}

// Candidate names one count; Ballot is the full name.
type Candidate struct{ Ballot, Name string }

// Many calls found once for each candidate with its count or an answer.Refusal. They go in one call, as far as it holds them.
func (t *Tallies) Many(ctx context.Context, candidates []Candidate, found func(i int, vote *model.UserVote, err error)) {
	keys, viewer := make([]tallyKey, len(candidates)), viewerOf(ctx)
	for i, candidate := range candidates {
		keys[i] = tallyKey{ballot: candidate.Ballot, candidate: candidate.Name, viewer: viewer}
	}
	t.reads.many(ctx, keys, func(i int, votes []*model.UserVote, err error) {
		if err != nil {
			found(i, nil, err)
			return
		}
		found(i, votes[0], nil)
	})
}

// Waiting is how many reads wait to be sent.
func (t *Tallies) Waiting() int { return t.reads.batch.Len() }

// Close refuses new reads and waits for those that are under way, at most as long as ctx.
func (t *Tallies) Close(ctx context.Context) { t.reads.close(ctx) }

// fetch makes as many calls, one after the other, as the bound of each demands: nearly always one.
func (t *Tallies) fetch(ctx context.Context, keys []tallyKey, answerTo func(i int, votes []*model.UserVote, err error)) {
	for first := 0; first < len(keys); {
		end, weight := first, 0
		for end < len(keys) && (end == first || weight+keys[end].weight() <= t.maxBatch) {
			weight += keys[end].weight()
			end++
		}
		t.call(ctx, keys[first:end], func(i int, votes []*model.UserVote, err error) { answerTo(first+i, votes, err) })
		first = end
	}
}

func (k tallyKey) weight() int {
	if k.all {
		return allWeight
	}
	return 1
}

func (t *Tallies) call(ctx context.Context, keys []tallyKey, answerTo func(i int, votes []*model.UserVote, err error)) {
	request := &queryv1.GetTalliesRequest{Reads: make([]*queryv1.TallyRead, len(keys))}
	for i, key := range keys {
		request.Reads[i] = key.message()
	}
	tallies, err := t.send(ctx, request)
	for i, key := range keys {
		if err != nil {
			answerTo(i, nil, refusal(err))
			continue
		}
		votes, err := key.votes(tallies[i])
		answerTo(i, votes, err)
	}
}

// notOlder makes a call for one read with a token.
func (t *Tallies) notOlder(ctx context.Context, key tallyKey, atLeast string) ([]*model.UserVote, error) {
	read := key.message()
	read.AtLeast = atLeast
	tallies, err := t.send(ctx, &queryv1.GetTalliesRequest{Reads: []*queryv1.TallyRead{read}})
	if err != nil {
		return nil, refusal(err)
	}
	return key.votes(tallies[0])
}

func (t *Tallies) send(ctx context.Context, request *queryv1.GetTalliesRequest) ([]*queryv1.Tally, error) {
	response, err := again(ctx, func() (*queryv1.GetTalliesResponse, error) { return t.client.GetTallies(ctx, request) })
	if err == nil && len(response.GetTallies()) != len(request.GetReads()) {
		return nil, errors.New("wrong number of tallies")
	}
	return response.GetTallies(), err
}

func (k tallyKey) message() *queryv1.TallyRead {
	read := &queryv1.TallyRead{Ballot: k.ballot, Viewer: k.viewer.message()}
	if !k.all {
		read.Candidates = []string{k.candidate}
	}
	return read
}

// votes turns a tally into what clients see.
func (k tallyKey) votes(tally *queryv1.Tally) ([]*model.UserVote, error) {
	switch code := tally.GetCode(); {
	case code == statusv1.Code_CODE_INVALID_ARGUMENT:
		return nil, answer.NotValid(answer.NameRule(k.ballot))
	case code == statusv1.Code_CODE_UNAVAILABLE:
		return nil, unavailable(errors.New("the query-service can't tell who may see the counts"))
	case code != statusv1.Code_CODE_OK:
		return nil, &answer.Refusal{Code: code, Text: answer.ForCode(code)}
	case !k.all && len(tally.GetCounts()) != 1:
		return nil, answer.RefusalOf(errors.New("wrong number of counts"))
	}
	ballot := tenant.Of(k.ballot).ID
	asOf := FormatTime(tally.GetAsOf().AsTime())
	block := make([]model.UserVote, len(tally.GetCounts()))
	votes := make([]*model.UserVote, len(block))
	for i, count := range tally.GetCounts() {
		block[i] = newCount(ballot, count, tally.GetStale(), asOf)
		votes[i] = &block[i]
	}
	return votes, nil
}

// newCount turns a count into what clients see.
func newCount(ballot string, from *queryv1.Count, stale bool, asOf string) model.UserVote {
	count := model.UserVote{
		Ballot: ballot, Username: from.GetCandidate(), Count: from.GetVotes(), UpdatedAt: never, Stale: stale, AsOf: asOf,
	}
	if from.GetUpdatedAt() != nil {
		count.UpdatedAt = FormatTime(from.GetUpdatedAt().AsTime())
	}
	return count
}
