package gateway

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
)

const tokenDocument = `query($t: String) {
	getUserVotes(username: "A", atLeast: $t) { votes stale asOf } getAllUserVotes(atLeast: $t) { votes stale } }`

// G10: a count that may be old says so, on every path.
func TestStaleCountsSaySo(t *testing.T) {
	behind := newServices(t)
	gateway := behind.start(t)
	behind.tally = func(read *queryv1.TallyRead) *queryv1.Tally {
		tally := tallyOf(read)
		tally.Stale, tally.Source = true, queryv1.Source_SOURCE_POSTGRES_REPLICA
		return tally
	}
	for _, values := range []variables{nil, {"t": aToken}} {
		got := gateway.ask(tokenDocument, values)
		all, _ := got.Data["getAllUserVotes"].([]any)
		if got.field(t, "getUserVotes")["stale"] != true || len(all) != 26 || all[25].(map[string]any)["stale"] != true {
			t.Errorf("%+v", got)
		}
	}
	answer := gateway.ask(entitiesDocument, variables{"r": []variables{representation("main", "A")}})
	if answer.Errors != nil {
		t.Errorf("%+v", answer)
	}
}

// A token goes to the query-service as it is, with its own read alone: what another caller's token waits for is no
// business of this one.
func TestATokenGoesAlong(t *testing.T) {
	behind := newServices(t)
	seen := make(chan *queryv1.GetTalliesRequest, 10)
	behind.tallies = func(_ context.Context, request *queryv1.GetTalliesRequest) (*queryv1.GetTalliesResponse, error) {
		seen <- request
		return &queryv1.GetTalliesResponse{Tallies: []*queryv1.Tally{tallyOf(request.GetReads()[0])}}, nil
	}
	gateway := behind.start(t)
	if got := gateway.ask(tokenDocument, variables{"t": aToken}); got.field(t, "getUserVotes")["votes"] != 65.0 {
		t.Errorf("%+v", got)
	}
	for range 2 {
		if request := <-seen; len(request.GetReads()) != 1 || request.GetReads()[0].GetAtLeast() != aToken {
			t.Errorf("asked %v", request)
		}
	}
}

func TestATokenThatIsNotReached(t *testing.T) {
	behind := newServices(t)
	behind.tallies = func(context.Context, *queryv1.GetTalliesRequest) (*queryv1.GetTalliesResponse, error) {
		return nil, grpcError(t, codes.Unavailable, &statusv1.ErrorDetail{
			Code: statusv1.Code_CODE_UNAVAILABLE, Outcome: statusv1.Outcome_OUTCOME_NONE, Retryable: true, RetryAfter: durationpb.New(time.Second),
		})
	}
	gateway := behind.start(t)
	answer := gateway.ask(`{ getUserVotes(username: "A", atLeast: "`+aToken+`") { votes } }`, nil)
	want := map[string]any{"code": "UNAVAILABLE", "retryable": true, "retryAfterMs": 1000.0, "outcome": "NONE"}
	if diff := cmp.Diff(want, answer.Errors[0].Extensions); diff != "" || answer.Data != nil {
		t.Error(diff)
	}
	if got := answer.Errors[0].Message; got != "暂时无法满足一致性令牌，请稍后重试" {
		t.Error(got)
	}
}

// Callers whose tokens wait hold up nobody else, and have a bound in time.
func TestTokensThatWaitHoldUpNobody(t *testing.T) {
	behind := newServices(t)
	entered := make(chan struct{}, 1000)
	behind.tallies = func(ctx context.Context, request *queryv1.GetTalliesRequest) (*queryv1.GetTalliesResponse, error) {
		response := &queryv1.GetTalliesResponse{}
		for _, read := range request.GetReads() {
			if read.GetAtLeast() != "" {
				entered <- struct{}{}
				<-ctx.Done()
				return nil, ctx.Err()
			}
			response.Tallies = append(response.Tallies, tallyOf(read))
		}
		return response, nil
	}
	cfg := behind.config(t)
	cfg.Gateway.Reads.Timeout = 2 * time.Second
	cfg.Gateway.Reads.Queue = 5
	gateway := start(t, cfg)
	var wait sync.WaitGroup
	refused := make(chan answerJSON, 300)
	const atOnce = 200 // as many calls as may be on their way
	for range atOnce + 5 + 3 {
		wait.Go(func() {
			refused <- gateway.ask(`{ getUserVotes(username: "A", atLeast: "`+aToken+`") { votes } }`, nil)
		})
	}
	for range atOnce {
		<-entered
	}
	for range 3 { // what neither is sent nor may wait
		if answer := <-refused; answer.code(t) != "OVERLOADED" || answer.Errors[0].Extensions["retryAfterMs"] == nil {
			t.Errorf("%+v", answer)
		}
	}
	if got := gateway.ask(`{ getUserVotes(username: "A") { votes } }`, nil); got.Errors != nil {
		t.Errorf("%+v", got)
	}
	wait.Wait()
	close(refused)
	for answer := range refused {
		// Who waited for a place may have found one in the last moment.
		if code := answer.code(t); code != "UNAVAILABLE" && code != "OVERLOADED" {
			t.Errorf("%+v", answer)
		}
	}
}

func TestTokensThatAreNone(t *testing.T) {
	behind := newServices(t)
	behind.tally = func(read *queryv1.TallyRead) *queryv1.Tally {
		if read.GetAtLeast() != "" {
			return &queryv1.Tally{Code: statusv1.Code_CODE_INVALID_ARGUMENT, Ballot: read.GetBallot()}
		}
		return tallyOf(read)
	}
	gateway := behind.start(t)
	const document = `query($t: String, $n: String!) { getUserVotes(username: $n, atLeast: $t) { votes } }`
	for _, token := range []string{"", "a b", "票", "1.2.3\n", "\x00", "{}", "*", "' OR 1=1", strings.Repeat("1", 129), strings.Repeat("1", 50_000)} {
		answer := gateway.ask(document, variables{"t": token, "n": "A"})
		if answer.code(t) != "INVALID_ARGUMENT" || answer.Errors[0].Message != "一致性令牌格式不正确" {
			t.Errorf("%.50q: %+v", token, answer)
		}
	}
	if calls := behind.queryCalls.Load(); calls != 0 {
		t.Errorf("%d calls for what can be no token", calls)
	}
	// What has the form of one is for the query-service to judge; the answer says whether the token or the name is wrong.
	for name, message := range map[string]string{"A": "一致性令牌格式不正确", "AA": "用户名格式不正确（必须为A-Z）"} {
		if answer := gateway.ask(document, variables{"t": "1.2.x", "n": name}); answer.code(t) != "INVALID_ARGUMENT" || answer.Errors[0].Message != message {
			t.Errorf("%s: %+v", name, answer)
		}
	}
}
