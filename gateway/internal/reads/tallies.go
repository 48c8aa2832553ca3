package reads

import (
	"context"
	"errors"

	"github.com/littlevote/littlevote/gateway/graph/model"
	"github.com/littlevote/littlevote/gateway/internal/answer"
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
}

// tallyKey is one question; all candidates where none is named.
type tallyKey struct {
	ballot    string
	candidate string
	all       bool
}

// NewTallies starts a reader; Close ends it.
func NewTallies(client queryv1.QueryServiceClient, cfg Config) *Tallies {
	t := &Tallies{client: client, maxBatch: cfg.MaxBatch}
	t.reads = newShared(cfg, t.fetch)
	return t
}

// One returns the count of one candidate, or an answer.Refusal.
func (t *Tallies) One(ctx context.Context, ballot, candidate string) (*model.UserVote, error) {
	votes, err := t.reads.get(ctx, tallyKey{ballot: ballot, candidate: candidate})
	if err != nil {
		return nil, err
	}
	return votes[0], nil
}

// All returns the counts of all candidates of a ballot by name, or an answer.Refusal.
func (t *Tallies) All(ctx context.Context, ballot string) ([]*model.UserVote, error) {
	return t.reads.get(ctx, tallyKey{ballot: ballot, all: true})
}

// Candidate names one count.
type Candidate struct{ Ballot, Name string }

// Many calls found once for each candidate with its count or an answer.Refusal. They go in as few calls as
// One's of as many callers at the same moment.
func (t *Tallies) Many(ctx context.Context, candidates []Candidate, found func(i int, vote *model.UserVote, err error)) {
	asked := make([]*read[tallyKey, []*model.UserVote], len(candidates))
	for i, candidate := range candidates {
		var err error
		if asked[i], err = t.reads.ask(ctx, tallyKey{ballot: candidate.Ballot, candidate: candidate.Name}); err != nil {
			found(i, nil, err)
		}
	}
	for i, r := range asked {
		if r == nil {
			continue
		}
		if votes, err := r.wait(); err != nil {
			found(i, nil, err)
		} else {
			found(i, votes[0], nil)
		}
	}
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
		request.Reads[i] = &queryv1.TallyRead{Ballot: key.ballot}
		if !key.all {
			request.Reads[i].Candidates = []string{key.candidate}
		}
	}
	response, err := twice(ctx, func() (*queryv1.GetTalliesResponse, error) { return t.client.GetTallies(ctx, request) })
	tallies := response.GetTallies()
	if err == nil && len(tallies) != len(keys) {
		err = errors.New("wrong number of tallies")
	}
	for i, key := range keys {
		if err != nil {
			answerTo(i, nil, refusal(err))
			continue
		}
		votes, err := key.votes(tallies[i])
		answerTo(i, votes, err)
	}
}

// votes turns a tally into what clients see.
func (k tallyKey) votes(tally *queryv1.Tally) ([]*model.UserVote, error) {
	switch code := tally.GetCode(); {
	case code == statusv1.Code_CODE_INVALID_ARGUMENT:
		return nil, answer.NotValid(answer.NameRule(k.ballot))
	case code != statusv1.Code_CODE_OK:
		return nil, &answer.Refusal{Code: code, Text: answer.ForCode(code)}
	case !k.all && len(tally.GetCounts()) != 1:
		return nil, answer.RefusalOf(errors.New("wrong number of counts"))
	}
	asOf := formatTime(tally.GetAsOf().AsTime())
	block := make([]model.UserVote, len(tally.GetCounts()))
	votes := make([]*model.UserVote, len(block))
	for i, count := range tally.GetCounts() {
		block[i] = model.UserVote{
			Ballot: k.ballot, Username: count.GetCandidate(), Count: count.GetVotes(), UpdatedAt: never, Stale: tally.GetStale(), AsOf: asOf,
		}
		if count.GetUpdatedAt() != nil {
			block[i].UpdatedAt = formatTime(count.GetUpdatedAt().AsTime())
		}
		votes[i] = &block[i]
	}
	return votes, nil
}
