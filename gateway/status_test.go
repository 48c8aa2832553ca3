package gateway

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

const (
	statusDocument = `query($id: ID!, $b: ID) { vote(id: $id, ballot: $b) { id ballot state admittedAt choices { username votes votesExact } } }`
	aVote          = "0190163d-8694-739b-aea5-966c26f8ad91"
)

func TestVoteStatus(t *testing.T) {
	behind := newServices(t)
	gateway := behind.start(t)
	for state, name := range map[votev1.VoteState]string{
		votev1.VoteState_VOTE_STATE_ABSENT:    "ABSENT",
		votev1.VoteState_VOTE_STATE_ADMITTED:  "ADMITTED",
		votev1.VoteState_VOTE_STATE_DURABLE:   "DURABLE",
		votev1.VoteState_VOTE_STATE_COUNTED:   "COUNTED",
		votev1.VoteState_VOTE_STATE_RETRACTED: "RETRACTED",
		votev1.VoteState_VOTE_STATE_REFUSED:   "REFUSED",
	} {
		behind.status = func(request *votev1.GetVoteStatusRequest) (*votev1.GetVoteStatusResponse, error) {
			if request.GetVoteId() != aVote || request.GetBallot() != "cast" {
				t.Errorf("asked for %v", request)
			}
			return &votev1.GetVoteStatusResponse{State: state, VoteId: aVote}, nil
		}
		want := map[string]any{"id": aVote, "ballot": "cast", "state": name, "admittedAt": nil, "choices": []any{}}
		got := gateway.ask(statusDocument, variables{"id": strings.ToUpper(aVote), "b": "cast"}).field(t, "vote")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	behind.status = func(request *votev1.GetVoteStatusRequest) (*votev1.GetVoteStatusResponse, error) {
		return &votev1.GetVoteStatusResponse{
			State: votev1.VoteState_VOTE_STATE_COUNTED, VoteId: request.GetVoteId(), AdmittedAt: timestamppb.New(decidedAt()), AdmissionNumber: 7,
			Choices: []*votev1.Choice{{Candidate: "A", Count: 1}, {Candidate: "票", Count: math.MaxInt32}},
		}, nil
	}
	want := map[string]any{
		"id": aVote, "ballot": "main", "state": "COUNTED", "admittedAt": decided, "choices": []any{
			map[string]any{"username": "A", "votes": 1.0, "votesExact": "1"},
			map[string]any{"username": "票", "votes": float64(math.MaxInt32), "votesExact": "2147483647"},
		},
	}
	if diff := cmp.Diff(want, gateway.ask(statusDocument, variables{"id": aVote}).field(t, "vote")); diff != "" {
		t.Error(diff)
	}
}

func TestVoteStatusRefusals(t *testing.T) {
	behind := newServices(t)
	gateway := behind.start(t)
	for name, test := range map[string]struct{ id, ballot, message string }{
		"empty":         {"", "main", "投票编号格式不正确（必须为UUID）"},
		"no UUID":       {"1", "main", "投票编号格式不正确（必须为UUID）"},
		"without lines": {strings.ReplaceAll(aVote, "-", ""), "main", "投票编号格式不正确（必须为UUID）"},
		"in braces":     {"{" + aVote + "}", "main", "投票编号格式不正确（必须为UUID）"},
		"as a URN":      {"urn:uuid:" + aVote, "main", "投票编号格式不正确（必须为UUID）"},
		"10 KB":         {strings.Repeat("0", 10_000), "main", "投票编号格式不正确（必须为UUID）"},
		"ballot":        {aVote, "a:b", "投票名称格式不正确"},
	} {
		answer := gateway.ask(statusDocument, variables{"id": test.id, "b": test.ballot})
		if answer.code(t) != "INVALID_ARGUMENT" || answer.Errors[0].Message != test.message || answer.Data != nil {
			t.Errorf("%s: %+v", name, answer)
		}
	}
	if calls := behind.statusCalls.Load(); calls != 0 {
		t.Errorf("%d calls", calls)
	}
	for code, err := range map[string]error{
		"BALLOT_NOT_FOUND": grpcError(t, codes.NotFound, &statusv1.ErrorDetail{Code: statusv1.Code_CODE_BALLOT_NOT_FOUND, Outcome: statusv1.Outcome_OUTCOME_NONE}),
		"UNAVAILABLE":      grpcError(t, codes.Unavailable, &statusv1.ErrorDetail{Code: statusv1.Code_CODE_UNAVAILABLE, Retryable: true}),
		"INTERNAL":         status.Error(codes.Internal, "secret"),
	} {
		behind.status = func(*votev1.GetVoteStatusRequest) (*votev1.GetVoteStatusResponse, error) { return nil, err }
		answer := gateway.ask(statusDocument, variables{"id": aVote})
		if answer.code(t) != code || answer.Errors[0].Extensions["outcome"] != "NONE" || strings.Contains(answer.Errors[0].Message, "secret") {
			t.Errorf("%s: %+v", code, answer)
		}
	}
	behind.status = func(*votev1.GetVoteStatusRequest) (*votev1.GetVoteStatusResponse, error) {
		return &votev1.GetVoteStatusResponse{}, nil
	}
	if answer := gateway.ask(statusDocument, variables{"id": aVote}); answer.code(t) != "INTERNAL" {
		t.Errorf("a state that is not set: %+v", answer)
	}
}

// Every error says in the same words what it is, whether to come back, and that nothing happened.
func TestErrorsAreTyped(t *testing.T) {
	gateway := newServices(t).start(t)
	for query, code := range map[string]string{
		`{`:           "GRAPHQL_PARSE_FAILED",
		`{ nothing }`: "GRAPHQL_VALIDATION_FAILED",
		`{ getUserVotes(username: "AA") { votes } }`:                  "INVALID_ARGUMENT",
		`query A { __typename } query B { x: __typename }`:            "OPERATION_RESOLUTION_FAILURE",
		`query($n: String!) { getUserVotes(username: $n) { votes } }`: "BAD_USER_INPUT",
	} {
		answer := gateway.ask(query, nil)
		want := map[string]any{"code": code, "retryable": false, "outcome": "NONE"}
		if len(answer.Errors) == 0 || !cmp.Equal(want, answer.Errors[0].Extensions) {
			t.Errorf("%s: %+v", query, answer)
		}
	}
	_, text, _ := gateway.send("POST", gateway.url, "[]", "Content-Type", legacyType)
	want := map[string]any{"code": "BAD_REQUEST", "retryable": false, "outcome": "NONE"}
	if diff := cmp.Diff(want, gateway.parse(text).Errors[0].Extensions); diff != "" {
		t.Error(diff)
	}
}

// A vote whose totals have no place in an Int counts all the same, and the error does not deny it.
func TestAnOverflowOfTotalsDoesNotDenyTheVote(t *testing.T) {
	behind := newServices(t)
	gateway := behind.start(t)
	inner := behind.vote
	behind.vote = func(ctx context.Context, vote *votev1.Vote) *votev1.Verdict {
		verdict := inner(ctx, vote)
		verdict.Totals[0].Votes = math.MaxInt32 + 1
		return verdict
	}
	answer := gateway.ask(`mutation { ticketAndVote(usernames: "A") { success totals { votes } } }`, nil)
	if answer.code(t) != "COUNT_OVERFLOW" || answer.Errors[0].Extensions["outcome"] != "COUNTED" {
		t.Errorf("%+v", answer)
	}
}
