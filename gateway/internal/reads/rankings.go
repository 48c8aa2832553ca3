package reads

import (
	"context"
	"math"
	"strconv"

	"github.com/littlevote/littlevote/gateway/graph/model"
	"github.com/littlevote/littlevote/gateway/internal/answer"
	"github.com/littlevote/littlevote/gateway/internal/overload"
	"github.com/littlevote/littlevote/gateway/internal/tenant"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

// Page says which part of a list is asked for.
type Page struct {
	First int32
	After string // empty: from its start
}

// Rankings reads rankings, and the votes of a voter. It is safe for concurrent use.
type Rankings struct {
	client queryv1.QueryServiceClient
	reads  *shared[rankingKey, *model.RankingPage]
	exact  *Calls
}

// rankingKey is one question.
type rankingKey struct {
	ballot string
	page   Page
	viewer viewer
}

// NewRankings starts a reader; Close ends it.
func NewRankings(client queryv1.QueryServiceClient, cfg Config, observer overload.Observer) *Rankings {
	r := &Rankings{client: client, exact: NewCalls(cfg)}
	r.reads = newShared(cfg, "GetRanking", observer, func(ctx context.Context, keys []rankingKey, answerTo func(int, *model.RankingPage, error)) {
		oneByOne(ctx, keys, r.one, answerTo)
	})
	return r
}

// Ranking returns a page of a ballot's candidates, best first, or an answer.Refusal; atLeast is as for Tallies.One.
func (r *Rankings) Ranking(ctx context.Context, ballot string, page Page, atLeast string) (*model.RankingPage, error) {
	key := rankingKey{ballot: ballot, page: page, viewer: viewerOf(ctx)}
	if atLeast == "" {
		return r.reads.get(ctx, key)
	}
	response, err := Call(ctx, r.exact, func(ctx context.Context) (*queryv1.GetRankingResponse, error) {
		request := key.message()
		request.AtLeast = atLeast
		return r.client.GetRanking(ctx, request)
	})
	if err != nil {
		return nil, pageRefusal(err, page, atLeast)
	}
	return key.ranking(response), nil
}

// Waiting is how many reads wait to be sent.
func (r *Rankings) Waiting() int { return r.reads.batch.Len() }

// Close refuses new reads and waits for those that are under way, at most as long as ctx.
func (r *Rankings) Close(ctx context.Context) { r.reads.close(ctx) }

func (r *Rankings) one(ctx context.Context, key rankingKey) (*model.RankingPage, error) {
	response, err := again(ctx, func() (*queryv1.GetRankingResponse, error) { return r.client.GetRanking(ctx, key.message()) })
	if err != nil {
		return nil, pageRefusal(refusal(err), key.page, "")
	}
	return key.ranking(response), nil
}

func (k rankingKey) message() *queryv1.GetRankingRequest {
	return &queryv1.GetRankingRequest{Ballot: k.ballot, PageSize: k.page.First, After: k.page.After, Viewer: k.viewer.message()}
}

func (k rankingKey) ranking(from *queryv1.GetRankingResponse) *model.RankingPage {
	page := &model.RankingPage{
		Entries: make([]*model.RankingEntry, len(from.GetRanks())), Next: optional(from.GetNext()),
		CandidateCount: clamp(from.GetCandidates()), TotalExact: strconv.FormatInt(from.GetVotes(), 10),
		Stale: from.GetStale(), AsOf: FormatTime(from.GetAsOf().AsTime()),
	}
	ballot := tenant.Of(k.ballot).ID
	for i, rank := range from.GetRanks() {
		count := newCount(ballot, rank.GetCount(), page.Stale, page.AsOf)
		page.Entries[i] = &model.RankingEntry{Rank: clamp(rank.GetRank()), Count: &count}
	}
	return page
}

// clamp is for numbers of candidates, which are far fewer.
func clamp(n int64) int32 { return int32(min(max(n, 0), math.MaxInt32)) }

// pageRefusal says what of the request was not valid: all but the cursor and the token was checked before.
func pageRefusal(err error, page Page, atLeast string) error {
	refused := answer.RefusalOf(err)
	switch {
	case refused.Code == statusv1.Code_CODE_UNAVAILABLE && atLeast != "":
		return notReached(err)
	case refused.Code == statusv1.Code_CODE_INVALID_ARGUMENT && page.After != "":
		return answer.NotValid(answer.CursorFormat)
	case refused.Code == statusv1.Code_CODE_INVALID_ARGUMENT && atLeast != "":
		return answer.NotValid(answer.TokenFormat)
	default:
		return refused
	}
}

// Own returns a page of the caller's votes, newest first, or an answer.Refusal.
func (r *Rankings) Own(ctx context.Context, ballot string, page Page, atLeast string) (*model.OwnVotesPage, error) {
	who := viewerOf(ctx)
	if who.voter == "" {
		return nil, &answer.Refusal{Code: statusv1.Code_CODE_UNAUTHENTICATED, Text: answer.Unauthenticated}
	}
	response, err := Call(ctx, r.exact, func(ctx context.Context) (*queryv1.ListVotesResponse, error) {
		return r.client.ListVotes(ctx, &queryv1.ListVotesRequest{
			Ballot: ballot, Voter: who.voter, PageSize: page.First, After: page.After, AtLeast: atLeast,
		})
	})
	if err != nil {
		return nil, pageRefusal(err, page, atLeast)
	}
	votes := &model.OwnVotesPage{Entries: make([]*model.OwnVote, len(response.GetVotes())), Next: optional(response.GetNext())}
	for i, vote := range response.GetVotes() {
		votes.Entries[i] = &model.OwnVote{
			ID: vote.GetVoteId(), Username: optional(vote.GetCandidate()), VotedAt: FormatTime(vote.GetVotedAt().AsTime()),
		}
	}
	return votes, nil
}
