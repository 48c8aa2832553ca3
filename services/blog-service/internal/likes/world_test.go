package likes

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"

	"connectrpc.com/connect"

	"github.com/littlevote/littlevote/libs/service"
	ballotv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ballot/v1"
	blogv1 "github.com/littlevote/littlevote/proto/gen/littlevote/blog/v1"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// aPost is the id of the only post of the default tenant.
const aPost = "7305000000000001"

// world is what a Service asks, with the rules of a ballot of likes and nothing else.
type world struct {
	votev1.VoteServiceClient
	ballotv1.BallotServiceClient
	queryv1.QueryServiceClient

	mu      sync.Mutex
	ballots map[string]*ballotv1.Ballot
	hidden  int // how many times a ballot that is new is still unknown
	likes   map[[3]string]bool
	counts  map[[2]string]int64

	castCalls, retractCalls, created int
	fail                             func(of context.Context, opts []grpc.CallOption) error
	postsAway                        bool
	slow                             map[string]time.Duration // by limiter key: too fast, and when to come back
	asked                            []string                 // limiter keys
}

func newWorld() *world {
	return &world{ballots: map[string]*ballotv1.Ballot{}, likes: map[[3]string]bool{}, counts: map[[2]string]int64{}}
}

func (w *world) service(t *testing.T, cfg Config) *Service {
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	return New(cfg, Backends{Votes: w, Ballots: w, Queries: w, Posts: w, Limiter: w}, log)
}

func (w *world) CreateBallot(_ context.Context, req *ballotv1.CreateBallotRequest, _ ...grpc.CallOption) (*ballotv1.CreateBallotResponse, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.created++
	w.ballots[req.GetBallot().GetName()] = req.GetBallot()
	return &ballotv1.CreateBallotResponse{Ballot: req.GetBallot()}, nil
}

// knows reports whether there is a ballot; one that is new may be unknown for a while.
func (w *world) knows(ballot string) bool {
	if w.ballots[ballot] == nil {
		return false
	}
	w.hidden--
	return w.hidden < 0
}

func verdict(code statusv1.Code) *votev1.Verdict {
	return &votev1.Verdict{Code: code, Outcome: statusv1.Outcome_OUTCOME_NONE}
}

func (w *world) counted(ballot, item string, by int64) *votev1.Verdict {
	w.counts[[2]string{ballot, item}] += by
	return &votev1.Verdict{
		Code: statusv1.Code_CODE_OK, Outcome: statusv1.Outcome_OUTCOME_COUNTED, VoteId: uuid.NewString(), Token: "1.1.token",
		Totals: []*votev1.Total{{Candidate: item, Votes: w.counts[[2]string{ballot, item}]}},
	}
}

func (w *world) CastVotes(ctx context.Context, req *votev1.CastVotesRequest, opts ...grpc.CallOption) (*votev1.CastVotesResponse, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.castCalls++
	if w.fail != nil {
		return nil, w.fail(ctx, opts)
	}
	response := &votev1.CastVotesResponse{}
	for _, vote := range req.GetVotes() {
		item := vote.GetChoices()[0].GetCandidate()
		key := [3]string{vote.GetBallot(), vote.GetVoter(), item}
		switch {
		case !w.knows(vote.GetBallot()):
			response.Verdicts = append(response.Verdicts, verdict(statusv1.Code_CODE_BALLOT_NOT_FOUND))
		case w.likes[key]:
			response.Verdicts = append(response.Verdicts, verdict(statusv1.Code_CODE_VOTER_LIMIT))
		default:
			w.likes[key] = true
			response.Verdicts = append(response.Verdicts, w.counted(vote.GetBallot(), item, 1))
		}
	}
	return response, nil
}

func (w *world) RetractVote(ctx context.Context, req *votev1.RetractVoteRequest, opts ...grpc.CallOption) (*votev1.RetractVoteResponse, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.retractCalls++
	key := [3]string{req.GetBallot(), req.GetVoter(), req.GetCandidate()}
	switch {
	case w.fail != nil:
		return nil, w.fail(ctx, opts)
	case !w.knows(req.GetBallot()):
		return nil, errorWith(connect.CodeNotFound, statusv1.Code_CODE_BALLOT_NOT_FOUND)
	case !w.likes[key]:
		return &votev1.RetractVoteResponse{Verdict: verdict(statusv1.Code_CODE_VOTE_NOT_FOUND)}, nil
	default:
		delete(w.likes, key)
		return &votev1.RetractVoteResponse{Verdict: w.counted(req.GetBallot(), req.GetCandidate(), -1)}, nil
	}
}

func errorWith(code connect.Code, detail statusv1.Code) error {
	return service.Error(code, &statusv1.ErrorDetail{Code: detail, Outcome: statusv1.Outcome_OUTCOME_NONE}, "no")
}

// sent marks a call as put on a connection, as gRPC does.
func sent(opts []grpc.CallOption) {
	for _, opt := range opts {
		if p, ok := opt.(grpc.PeerCallOption); ok {
			*p.PeerAddr = peer.Peer{Addr: address{}}
		}
	}
}

type address struct{}

func (address) Network() string { return "tcp" }
func (address) String() string  { return "vote:1" }

func (w *world) GetVoted(_ context.Context, req *queryv1.GetVotedRequest, _ ...grpc.CallOption) (*queryv1.GetVotedResponse, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ballots[req.GetBallot()] == nil {
		return nil, errorWith(connect.CodeNotFound, statusv1.Code_CODE_BALLOT_NOT_FOUND)
	}
	response := &queryv1.GetVotedResponse{}
	for _, item := range req.GetCandidates() {
		response.Voted = append(response.Voted, w.likes[[3]string{req.GetBallot(), req.GetVoter(), item}])
	}
	return response, nil
}

func (w *world) GetTallies(_ context.Context, req *queryv1.GetTalliesRequest, _ ...grpc.CallOption) (*queryv1.GetTalliesResponse, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	response := &queryv1.GetTalliesResponse{}
	for _, read := range req.GetReads() {
		tally := &queryv1.Tally{Code: statusv1.Code_CODE_OK}
		if w.ballots[read.GetBallot()] == nil {
			tally.Code = statusv1.Code_CODE_BALLOT_NOT_FOUND
		}
		for _, item := range read.GetCandidates() {
			tally.Counts = append(tally.Counts, &queryv1.Count{Candidate: item, Votes: w.counts[[2]string{read.GetBallot(), item}]})
		}
		response.Tallies = append(response.Tallies, tally)
	}
	return response, nil
}

func (w *world) ListVotes(_ context.Context, req *queryv1.ListVotesRequest, _ ...grpc.CallOption) (*queryv1.ListVotesResponse, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ballots[req.GetBallot()] == nil {
		return nil, errorWith(connect.CodeNotFound, statusv1.Code_CODE_BALLOT_NOT_FOUND)
	}
	response := &queryv1.ListVotesResponse{Next: "more"}
	for key := range w.likes {
		if key[0] == req.GetBallot() && (key[1] == req.GetVoter() || key[2] == req.GetCandidate()) {
			response.Votes = append(response.Votes, &queryv1.VoterVote{Voter: key[1], Candidate: key[2]})
		}
	}
	return response, nil
}

// GetPosts knows one post, of the default tenant.
func (w *world) GetPosts(_ context.Context, req *blogv1.GetPostsRequest) (*blogv1.GetPostsResponse, error) {
	if w.postsAway {
		return nil, errorWith(connect.CodeUnavailable, statusv1.Code_CODE_UNAVAILABLE)
	}
	response := &blogv1.GetPostsResponse{}
	for _, id := range req.GetIds() {
		result := &blogv1.PostResult{}
		if id == aPost && req.GetTenant() == "" {
			result.Post = &blogv1.Post{Id: id}
		}
		response.Results = append(response.Results, result)
	}
	return response, nil
}

// Allow lets all pass but those who are too fast.
func (w *world) Allow(_ context.Context, key string, _ Rate) (time.Duration, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, key)
	retry, tooFast := w.slow[key]
	return retry, !tooFast
}
