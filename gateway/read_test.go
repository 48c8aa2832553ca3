package gateway

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	ticketv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ticket/v1"
)

// grpcError is what a service's refusal looks like on the wire.
func grpcError(t testing.TB, code codes.Code, detail *statusv1.ErrorDetail) error {
	t.Helper()
	err, packErr := status.New(code, "because").WithDetails(detail)
	if packErr != nil {
		t.Fatal(packErr)
	}
	return err.Err()
}

func TestS1S5GetUserVotes(t *testing.T) {
	gateway := newServices(t).start(t)
	got := gateway.ask(`query($n: String!) { getUserVotes(username: $n) {
		ballot username votes votesExact updatedAt stale asOf __typename } }`, variables{"n": "B"}).field(t, "getUserVotes")
	want := map[string]any{
		"ballot": "main", "username": "B", "votes": 66.0, "votesExact": "66", "updatedAt": decided, "stale": false, "asOf": decided,
		"__typename": "UserVote",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// Nobody voted yet: 0, and a date that every client can read.
	got = gateway.ask(`{ getUserVotes(username: "nobody", ballot: "cast") { votes updatedAt } }`, nil).field(t, "getUserVotes")
	if diff := cmp.Diff(map[string]any{"votes": 0.0, "updatedAt": "1970-01-01T00:00:00Z"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestS6GetAllUserVotes(t *testing.T) {
	gateway := newServices(t).start(t)
	answer := gateway.ask(`{ getAllUserVotes { username votes } }`, nil)
	all, _ := answer.Data["getAllUserVotes"].([]any)
	if len(all) != 26 {
		t.Fatalf("got %d counts: %+v", len(all), answer)
	}
	for i, one := range all {
		want := map[string]any{"username": string(rune('A' + i)), "votes": float64('A' + i)}
		if diff := cmp.Diff(want, one); diff != "" {
			t.Error(diff)
		}
	}
}

func TestS2S4GetTicket(t *testing.T) {
	behind := newServices(t)
	created := time.Date(2026, 11, 21, 8, 0, 0, 5_000_000, time.UTC)
	gateway := behind.start(t)
	inner := behind.ticket
	behind.ticket = func(ctx context.Context, ballot string) (*ticketv1.Ticket, error) {
		found, err := inner(ctx, ballot)
		found.Value, found.Version = "v", "1.2.3"
		found.CreatedAt.Seconds, found.CreatedAt.Nanos = created.Unix(), int32(created.Nanosecond())
		found.ExpiresAt.Seconds, found.ExpiresAt.Nanos = created.Unix()+2, int32(created.Nanosecond())
		if ballot == "tiny" {
			found.RemainingUses = 1 << 40
		}
		return found, err
	}
	const document = `query($b: ID) { getTicket(ballot: $b) { value version remainingUsages expiresAt createdAt } }`
	want := map[string]any{
		"value": "v", "version": "1.2.3", "remainingUsages": 998.0,
		"expiresAt": "2026-11-21T08:00:02.005Z", "createdAt": "2026-11-21T08:00:00.005Z",
	}
	if diff := cmp.Diff(want, gateway.ask(document, nil).field(t, "getTicket")); diff != "" {
		t.Error(diff)
	}
	if got := gateway.ask(document, variables{"b": "tiny"}).field(t, "getTicket")["remainingUsages"]; got != float64(math.MaxInt32) {
		t.Errorf("without a cap: %v", got)
	}
}

func TestS4NoTicketIsAnError(t *testing.T) {
	behind := newServices(t)
	gateway := behind.start(t)
	for name, test := range map[string]struct {
		err       error
		code      string
		message   string
		retryable bool
		after     any
	}{
		"exhausted": {
			err: grpcError(t, codes.ResourceExhausted, &statusv1.ErrorDetail{
				Code: statusv1.Code_CODE_TICKET_EXHAUSTED, Outcome: statusv1.Outcome_OUTCOME_NONE, Retryable: true,
				RetryAfter: durationpb.New(1500 * time.Microsecond),
			}),
			code: "TICKET_EXHAUSTED", message: "票据使用次数已耗尽", retryable: true, after: 2.0,
		},
		"none": {
			err:  grpcError(t, codes.Unavailable, &statusv1.ErrorDetail{Code: statusv1.Code_CODE_TICKET_EXPIRED, Retryable: true}),
			code: "TICKET_EXPIRED", message: "当前没有可用的票据", retryable: true,
		},
		"no ballot": {
			err:  grpcError(t, codes.NotFound, &statusv1.ErrorDetail{Code: statusv1.Code_CODE_BALLOT_NOT_FOUND}),
			code: "BALLOT_NOT_FOUND", message: "投票不存在",
		},
		"internal": {err: status.Error(codes.Internal, "secret"), code: "INTERNAL", message: "系统内部错误"},
		"unknown":  {err: errors.New("secret"), code: "INTERNAL", message: "系统内部错误"},
	} {
		behind.ticket = func(context.Context, string) (*ticketv1.Ticket, error) { return nil, test.err }
		answer := gateway.ask(`{ getTicket { value } }`, nil)
		if got := answer.code(t); got != test.code || answer.Data != nil {
			t.Errorf("%s: %+v", name, answer)
		}
		if got := answer.Errors[0]; got.Message != test.message || got.Extensions["retryable"] != test.retryable || got.Extensions["retryAfterMs"] != test.after {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestReadsRefuseWhatNoServiceKnows(t *testing.T) {
	behind := newServices(t)
	gateway := behind.start(t)
	for query, want := range map[string]string{
		`{ getUserVotes(username: "AA") { votes } }`:                              "INVALID_ARGUMENT",
		`{ getUserVotes(username: "") { votes } }`:                                "INVALID_ARGUMENT",
		`{ getUserVotes(username: "x", ballot: "none") { votes } }`:               "BALLOT_NOT_FOUND",
		`{ getAllUserVotes(ballot: "none") { votes } }`:                           "BALLOT_NOT_FOUND",
		`{ getUserVotes(username: "A", ballot: "Main") { votes } }`:               "INVALID_ARGUMENT",
		`{ getUserVotes(username: "A", ballot: "") { votes } }`:                   "INVALID_ARGUMENT",
		`{ getTicket(ballot: "a b") { value } }`:                                  "INVALID_ARGUMENT",
		`{ getUserVotes(username: "A", atLeast: "a b") { votes } }`:               "INVALID_ARGUMENT",
		`{ getAllUserVotes(atLeast: "") { votes } }`:                              "INVALID_ARGUMENT",
		`{ getUserVotes(username: "A", ballot: "main", atLeast: "票") { votes } }`: "INVALID_ARGUMENT",
	} {
		answer := gateway.ask(query, nil)
		if got := answer.code(t); got != want || answer.Data != nil {
			t.Errorf("%s: %+v", query, answer)
		}
	}
	if got := gateway.ask(`{ getUserVotes(username: "AA") { votes } }`, nil).Errors[0].Message; got != "用户名格式不正确（必须为A-Z）" {
		t.Errorf("S11: %s", got)
	}
}

func TestCountOverInt32IsAFieldError(t *testing.T) {
	behind := newServices(t)
	gateway := behind.start(t)
	behind.tally = func(read *queryv1.TallyRead) *queryv1.Tally {
		tally := tallyOf(read)
		tally.Counts[0].Votes = math.MaxInt32 + 1
		return tally
	}
	if got := gateway.ask(`{ getUserVotes(username: "A") { votes } }`, nil); got.code(t) != "COUNT_OVERFLOW" || got.Data != nil {
		t.Errorf("%+v", got)
	}
	if got := gateway.ask(`{ getUserVotes(username: "A") { votesExact } }`, nil).field(t, "getUserVotes")["votesExact"]; got != "2147483648" {
		t.Errorf("exact: %v", got)
	}
	behind.tally = func(read *queryv1.TallyRead) *queryv1.Tally {
		tally := tallyOf(read)
		tally.Counts[0].Votes = math.MaxInt32
		return tally
	}
	if got := gateway.ask(`{ getUserVotes(username: "A") { votes } }`, nil).field(t, "getUserVotes")["votes"]; got != float64(math.MaxInt32) {
		t.Errorf("largest: %v", got)
	}
}

func TestReadsSurviveADyingReplica(t *testing.T) {
	behind := newServices(t)
	gateway := behind.start(t)
	behind.tallies = func(_ context.Context, request *queryv1.GetTalliesRequest) (*queryv1.GetTalliesResponse, error) {
		if behind.queryCalls.Load() == 1 {
			return nil, status.Error(codes.Unavailable, "connection reset")
		}
		return &queryv1.GetTalliesResponse{Tallies: []*queryv1.Tally{tallyOf(request.GetReads()[0])}}, nil
	}
	if got := gateway.ask(`{ getUserVotes(username: "A") { votes } }`, nil); got.Errors != nil {
		t.Errorf("%+v", got)
	}
}

// F21: reads wait for a service that is started anew, and for none longer than that takes.
func TestReadsOverARestart(t *testing.T) {
	behind := newServices(t)
	cfg := behind.config(t)
	address := unusedAddress(t)
	cfg.Query.Target = address
	gateway := start(t, cfg)
	answers := make(chan answerJSON, 1)
	go func() { answers <- gateway.ask(`{ getUserVotes(username: "A") { votes } }`, nil) }()
	await(t, "the read is tried", func() bool { return gateway.tallies.Waiting() == 0 })
	behind.listenOn(t, address)
	if got := <-answers; got.Errors != nil {
		t.Errorf("%+v", got)
	}
}

func TestReadsWithoutAServiceAreUnavailable(t *testing.T) {
	behind := newServices(t)
	cfg := behind.config(t)
	cfg.Query.Target = unusedAddress(t)
	gateway := start(t, cfg)
	if got := gateway.ask(`{ getUserVotes(username: "A") { votes } }`, nil).code(t); got != "UNAVAILABLE" {
		t.Errorf("got %s", got)
	}
}

func TestLanguages(t *testing.T) {
	behind := newServices(t)
	cfg := behind.config(t)
	chinese := start(t, cfg)
	cfg.Gateway.Language = "en"
	english := start(t, cfg)
	for _, test := range []struct {
		gateway *running
		header  string
		want    string
	}{
		{chinese, "", "用户名格式不正确（必须为A-Z）"},
		{chinese, "fr", "用户名格式不正确（必须为A-Z）"},
		{chinese, "en-GB,en;q=0.9", "A username is not valid: it must be one letter, A to Z"},
		{english, "", "A username is not valid: it must be one letter, A to Z"},
		{english, "zh-CN", "用户名格式不正确（必须为A-Z）"},
	} {
		answer := test.gateway.ask(`{ getUserVotes(username: "AA") { votes } }`, nil, "Accept-Language", test.header)
		if got := answer.Errors[0].Message; got != test.want {
			t.Errorf("%q: %s", test.header, got)
		}
	}
}

func TestProbes(t *testing.T) {
	gateway := newServices(t).start(t)
	base := "http://" + gateway.Addr()
	for _, path := range []string{"/livez", "/readyz", "/healthz", "/health"} {
		if status, text, _ := gateway.send(http.MethodGet, base+path, ""); status != http.StatusOK {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
}

// A gateway that can do a part of its work goes on, and says which part is missing.
func TestReadinessNamesWhatIsAway(t *testing.T) {
	behind := newServices(t)
	cfg := behind.config(t)
	proxy := newProxy(t, cfg.Query.Target)
	cfg.Query.Target = proxy.address
	gateway := start(t, cfg)
	ready := func() (int, string) {
		status, text, _ := gateway.send(http.MethodGet, "http://"+gateway.Addr()+"/readyz", "")
		return status, text
	}
	await(t, "all is well", func() bool {
		status, text := ready()
		return status == http.StatusOK && !strings.Contains(text, "degraded")
	})
	proxy.close()
	await(t, "it says what is away", func() bool {
		status, text := ready()
		return status == http.StatusOK && strings.Contains(text, "query")
	})
}

func TestNotReadyBeforeItsServices(t *testing.T) {
	cfg := newServices(t).config(t)
	cfg.Vote.Target = unusedAddress(t)
	gateway := start(t, cfg)
	if status, _, _ := gateway.send(http.MethodGet, "http://"+gateway.Addr()+"/readyz", ""); status != http.StatusServiceUnavailable {
		t.Errorf("readyz: %d", status)
	}
	if status, _, _ := gateway.send(http.MethodGet, "http://"+gateway.Addr()+"/livez", ""); status != http.StatusOK {
		t.Errorf("livez: %d", status)
	}
}

// What the query-service says of one ballot's counts is an error of that read alone, and says whether to try again.
func TestTalliesThatHoldNoCounts(t *testing.T) {
	behind := newServices(t)
	gateway := behind.start(t)
	for code, want := range map[statusv1.Code]map[string]any{
		statusv1.Code_CODE_RESULTS_HIDDEN: {"code": "RESULTS_HIDDEN", "retryable": false, "outcome": "NONE"},
		statusv1.Code_CODE_UNAVAILABLE:    {"code": "UNAVAILABLE", "retryable": true, "retryAfterMs": 1000.0, "outcome": "NONE"},
	} {
		behind.tally = func(read *queryv1.TallyRead) *queryv1.Tally {
			if read.GetBallot() == "main" {
				return tallyOf(read)
			}
			return &queryv1.Tally{Code: code, Ballot: read.GetBallot()}
		}
		answer := gateway.ask(`{ a: getUserVotes(username: "A") { votes } b: getUserVotes(username: "A", ballot: "other") { votes } }`, nil)
		if len(answer.Errors) != 1 {
			t.Fatalf("%+v", answer)
		}
		if diff := cmp.Diff(want, answer.Errors[0].Extensions); diff != "" {
			t.Error(diff)
		}
	}
}
