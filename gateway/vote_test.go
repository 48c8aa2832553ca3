package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/littlevote/littlevote/libs/ticket"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// recorded keeps the votes that reach the vote-service.
func (s *services) recorded() chan *votev1.Vote {
	seen := make(chan *votev1.Vote, 100)
	inner := s.vote
	s.vote = func(ctx context.Context, vote *votev1.Vote) *votev1.Verdict {
		seen <- vote
		return inner(ctx, vote)
	}
	return seen
}

func TestS3S7Vote(t *testing.T) {
	behind := newServices(t)
	seen := behind.recorded()
	gateway := behind.start(t)
	input := ticketInput(t, claimsNow("main"))
	got := gateway.ask(voteDocument, variables{"input": variables{"usernames": []string{"B", "A", "A"}, "ticket": input}}).field(t, "vote")
	id, _ := got["voteId"].(string)
	if parsed, err := uuid.Parse(id); err != nil || parsed.Version() != 7 {
		t.Errorf("vote id %q: want a UUIDv7", id)
	}
	want := map[string]any{
		"success": true, "message": "投票成功", "usernames": []any{"B", "A", "A"}, "timestamp": decided, "code": "OK", "outcome": "COUNTED",
		"retryable": false, "retryAfterMs": nil, "voteId": id, "token": aToken,
		"totals": []any{
			map[string]any{"ballot": "main", "username": "B", "votes": 66.0},
			map[string]any{"ballot": "main", "username": "A", "votes": 65.0},
			map[string]any{"ballot": "main", "username": "A", "votes": 65.0},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	vote := <-seen
	if vote.GetTicket().GetValue() != input["value"] || vote.GetTicket().GetVersion() != "1.7.2" || vote.GetBallot() != "main" ||
		len(vote.GetChoices()) != 3 || vote.GetVoteId() != id || vote.GetIdempotencyKey() != "" {
		t.Errorf("sent %v", vote)
	}
	for _, choice := range vote.GetChoices() {
		if choice.GetCount() != 1 {
			t.Errorf("each named candidate gets one vote, got %v", choice)
		}
	}
}

func TestS8TicketAndVote(t *testing.T) {
	behind := newServices(t)
	seen := behind.recorded()
	gateway := behind.start(t)
	got := gateway.ask(ticketAndVoteDocument, variables{"usernames": []string{"Z"}}).field(t, "ticketAndVote")
	if got["success"] != true || got["message"] != "投票成功" {
		t.Errorf("%+v", got)
	}
	if vote := <-seen; !vote.GetNewestTicket() || vote.GetTicket() != nil || vote.GetBallot() != "main" {
		t.Errorf("sent %v", vote)
	}
}

func TestTheClientsCopyOfTheRestIsNotTrusted(t *testing.T) {
	gateway := newServices(t).start(t)
	input := ticketInput(t, claimsNow("main"))
	input["remainingUsages"], input["expiresAt"], input["createdAt"] = -5, "1999-01-01T00:00:00Z", "2999-01-01T00:00:00+08:00"
	got := gateway.ask(voteDocument, variables{"input": variables{"usernames": []string{"A"}, "ticket": input}}).field(t, "vote")
	if got["success"] != true {
		t.Errorf("%+v", got)
	}
}

func TestS7DatesThatAreNoDatesAreAnError(t *testing.T) {
	behind := newServices(t)
	gateway := behind.start(t)
	for _, field := range []string{"expiresAt", "createdAt"} {
		for _, date := range []string{"", "tomorrow", "2025-01-01", "2025-01-01 00:00:00", "2025-13-01T00:00:00Z", "2025-01-01T00:00:00", "2025-01-01T0:00:00Z", "2025-01-01T00:00:00,5Z", "2025-01-01T00:00:00+24:00", "2025-01-01T00:00:00+08:60"} {
			input := ticketInput(t, claimsNow("main"))
			input[field] = date
			answer := gateway.ask(voteDocument, variables{"input": variables{"usernames": []string{"A"}, "ticket": input}})
			if answer.code(t) != "INVALID_ARGUMENT" || answer.Data != nil {
				t.Errorf("%s %q: %+v", field, date, answer)
			}
		}
	}
	if calls := behind.voteCalls.Load(); calls != 0 {
		t.Errorf("%d calls", calls)
	}
}

// What the gateway refuses by itself is data, and goes no further.
func TestRefusedAtTheGateway(t *testing.T) {
	behind := newServices(t)
	gateway := behind.start(t)
	good := ticketInput(t, claimsNow("main"))
	with := func(field string, value any) variables {
		changed := variables{}
		for name, old := range good {
			changed[name] = old
		}
		changed[field] = value
		return changed
	}
	old, young := claimsNow("main"), claimsNow("main")
	old.IssuedAt, old.ExpiresAt = old.IssuedAt.Add(-time.Hour), old.ExpiresAt.Add(-time.Hour)
	young.IssuedAt, young.ExpiresAt = young.IssuedAt.Add(time.Hour), young.ExpiresAt.Add(time.Hour)
	foreign, err := ticket.NewKeys([]byte(strings.Repeat("x", 32)))
	if err != nil {
		t.Fatal(err)
	}
	value, _ := good["value"].(string)
	names := func(list ...string) variables { return variables{"usernames": list, "ticket": good} }
	const stale, invalid = "票据已过期或版本不匹配", "INVALID_ARGUMENT"
	for name, test := range map[string]struct {
		input   variables
		code    string
		message string
	}{
		"S76 no names":    {variables{"usernames": []string{}, "ticket": good}, invalid, "用户名列表不能为空"},
		"empty name":      {names("A", ""), invalid, "用户名格式不正确（必须为A-Z）"},
		"long name":       {names(strings.Repeat("A", 257)), invalid, "用户名格式不正确（必须为A-Z）"},
		"replacement":     {names("\uFFFD"), invalid, "用户名格式不正确（必须为A-Z）"},
		"65 names":        {names(strings.Split(strings.Repeat("A", 65), "")...), invalid, "用户名数量超过上限（64）"},
		"key":             {variables{"usernames": []string{"A"}, "ticket": good, "idempotencyKey": "1"}, invalid, "幂等键格式不正确（必须为UUID）"},
		"key in braces":   {variables{"usernames": []string{"A"}, "ticket": good, "idempotencyKey": "{" + uuid.NewString() + "}"}, invalid, "幂等键格式不正确（必须为UUID）"},
		"ballot":          {variables{"usernames": []string{"A"}, "ticket": good, "ballot": "A!"}, invalid, "投票名称格式不正确"},
		"other ballot":    {variables{"usernames": []string{"A"}, "ticket": good, "ballot": "cast"}, "TICKET_INVALID", stale},
		"no value":        {variables{"usernames": []string{"A"}, "ticket": with("value", "")}, "TICKET_INVALID", stale},
		"forged value":    {variables{"usernames": []string{"A"}, "ticket": with("value", "AAAA"+value[4:])}, "TICKET_INVALID", stale},
		"longer value":    {variables{"usernames": []string{"A"}, "ticket": with("value", value+"A")}, "TICKET_INVALID", stale},
		"foreign key":     {variables{"usernames": []string{"A"}, "ticket": with("value", foreign.Mint(claimsNow("main")))}, "TICKET_INVALID", stale},
		"other version":   {variables{"usernames": []string{"A"}, "ticket": with("version", "1.8.2")}, "TICKET_INVALID", stale},
		"no version":      {variables{"usernames": []string{"A"}, "ticket": with("version", "")}, "TICKET_INVALID", stale},
		"long version":    {variables{"usernames": []string{"A"}, "ticket": with("version", strings.Repeat("1", 60000))}, "TICKET_INVALID", stale},
		"long expired":    {variables{"usernames": []string{"A"}, "ticket": ticketInput(t, old)}, "TICKET_EXPIRED", stale},
		"from the future": {variables{"usernames": []string{"A"}, "ticket": ticketInput(t, young)}, "TICKET_INVALID", stale},
	} {
		answer := gateway.ask(voteDocument, variables{"input": test.input})
		got := answer.field(t, "vote")
		if got["code"] != test.code || got["message"] != test.message || got["success"] != false || got["outcome"] != "NONE" || got["retryable"] != false {
			t.Errorf("%s: %+v", name, got)
		}
		wantNames := fmt.Sprint(test.input["usernames"])
		if fmt.Sprint(got["usernames"]) != wantNames {
			t.Errorf("%s: S76 echo of the usernames: %v, want %s", name, got["usernames"], wantNames)
		}
		stamp, _ := got["timestamp"].(string)
		if when, err := time.Parse(time.RFC3339, stamp); err != nil || time.Since(when).Abs() > time.Minute {
			t.Errorf("%s: timestamp %q", name, stamp)
		}
		if got["voteId"] != nil || got["token"] != nil || len(got["totals"].([]any)) != 0 {
			t.Errorf("%s: a refusal with a receipt: %+v", name, got)
		}
	}
	if calls := behind.voteCalls.Load(); calls != 0 {
		t.Errorf("%d calls", calls)
	}
}

func TestATicketInTheMarginIsForTheLedger(t *testing.T) {
	behind := newServices(t)
	behind.vote = func(context.Context, *votev1.Vote) *votev1.Verdict {
		return refusedWith(statusv1.Code_CODE_TICKET_EXPIRED)
	}
	gateway := behind.start(t)
	late := claimsNow("main")
	late.IssuedAt, late.ExpiresAt = late.IssuedAt.Add(-9*time.Minute), late.ExpiresAt.Add(-9*time.Minute)
	gateway.ask(voteDocument, variables{"input": variables{"usernames": []string{"A"}, "ticket": ticketInput(t, late)}})
	if calls := behind.voteCalls.Load(); calls != 1 {
		t.Errorf("%d calls", calls)
	}
}

// A late retry learns what became of the first attempt, though its ticket is long over.
func TestALateRetryWithAKeyReachesTheLedger(t *testing.T) {
	behind := newServices(t)
	seen := behind.recorded()
	gateway := behind.start(t)
	old := claimsNow("main")
	old.IssuedAt, old.ExpiresAt = old.IssuedAt.Add(-time.Hour), old.ExpiresAt.Add(-time.Hour)
	key := "0190163D-8694-739B-AEA5-966C26F8AD91"
	got := gateway.ask(voteDocument, variables{"input": variables{
		"usernames": []string{"A"}, "ticket": ticketInput(t, old), "idempotencyKey": key,
	}}).field(t, "vote")
	if got["success"] != true || got["voteId"] != strings.ToLower(key) {
		t.Errorf("%+v", got)
	}
	if vote := <-seen; vote.GetIdempotencyKey() != strings.ToLower(key) || vote.GetVoteId() != "" {
		t.Errorf("sent %v", vote)
	}
}

func TestTheBallotOfAVote(t *testing.T) {
	behind := newServices(t)
	seen := behind.recorded()
	gateway := behind.start(t)
	const document = `mutation($input: VoteInput!, $ballot: ID) { vote(input: $input, ballot: $ballot) { code message } }`
	input := ticketInput(t, claimsNow("cast"))
	for name, test := range map[string]struct{ argument, field, code string }{
		"argument": {"cast", "", "OK"},
		"field":    {"", "cast", "OK"},
		"both":     {"cast", "cast", "OK"},
		"conflict": {"cast", "main", "INVALID_ARGUMENT"},
		"neither":  {"", "", "TICKET_INVALID"},
	} {
		values := variables{"input": variables{"usernames": []string{"alice"}, "ticket": input}}
		if test.argument != "" {
			values["ballot"] = test.argument
		}
		if test.field != "" {
			values["input"] = variables{"usernames": []string{"alice"}, "ticket": input, "ballot": test.field}
		}
		if got := gateway.ask(document, values).field(t, "vote"); got["code"] != test.code {
			t.Errorf("%s: %+v", name, got)
		} else if test.code == "OK" {
			if vote := <-seen; vote.GetBallot() != "cast" {
				t.Errorf("%s: sent %v", name, vote)
			}
		}
	}
}

// Every code that the vote-service may say is data, with the published text where there is one.
func TestS10VerdictsAreData(t *testing.T) {
	behind := newServices(t)
	gateway := behind.start(t)
	for code, message := range map[statusv1.Code]string{
		statusv1.Code_CODE_INVALID_ARGUMENT:  "用户名格式不正确（必须为A-Z）",
		statusv1.Code_CODE_TICKET_INVALID:    "票据已过期或版本不匹配",
		statusv1.Code_CODE_TICKET_EXPIRED:    "票据已过期或版本不匹配",
		statusv1.Code_CODE_TICKET_SUPERSEDED: "票据已过期或版本不匹配",
		statusv1.Code_CODE_TICKET_EXHAUSTED:  "票据使用次数已耗尽",
		statusv1.Code_CODE_BALLOT_CLOSED:     "投票未开放",
		statusv1.Code_CODE_BALLOT_NOT_FOUND:  "投票不存在",
		statusv1.Code_CODE_VOTER_LIMIT:       "投票次数已达上限",
		statusv1.Code_CODE_KEY_REUSED:        "幂等键已用于其他投票",
		statusv1.Code_CODE_OVERLOADED:        "系统繁忙，请稍后重试",
		statusv1.Code_CODE_UNAVAILABLE:       "服务暂不可用，请稍后重试",
		statusv1.Code_CODE_INTERNAL:          "系统内部错误",
	} {
		behind.vote = func(context.Context, *votev1.Vote) *votev1.Verdict {
			verdict := refusedWith(code)
			verdict.Retryable, verdict.RetryAfter = true, durationpb.New(1200*time.Microsecond)
			return verdict
		}
		got := gateway.ask(voteDocument, variables{"input": variables{
			"usernames": []string{"b"}, "ticket": ticketInput(t, claimsNow("main")),
		}}).field(t, "vote")
		want := map[string]any{
			"success": false, "message": message, "usernames": []any{"b"}, "timestamp": decided,
			"code": strings.TrimPrefix(code.String(), "CODE_"), "outcome": "NONE", "retryable": true, "retryAfterMs": 2.0,
			"voteId": nil, "token": nil, "totals": []any{},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%v: %s", code, diff)
		}
	}
}

func TestNamesOnOtherBallotsAreForTheLedger(t *testing.T) {
	behind := newServices(t)
	behind.vote = func(_ context.Context, vote *votev1.Vote) *votev1.Verdict {
		if vote.GetChoices()[0].GetCandidate() == "é" {
			return counted(vote)
		}
		return refusedWith(statusv1.Code_CODE_INVALID_ARGUMENT)
	}
	gateway := behind.start(t)
	got := gateway.ask(ticketAndVoteDocument, variables{"usernames": []string{"é"}, "ballot": "cast"}).field(t, "ticketAndVote")
	if got["success"] != true {
		t.Errorf("%+v", got)
	}
	got = gateway.ask(ticketAndVoteDocument, variables{"usernames": []string{"{}"}, "ballot": "cast"}).field(t, "ticketAndVote")
	if got["code"] != "INVALID_ARGUMENT" || got["message"] != "用户名不符合该投票的规则" {
		t.Errorf("%+v", got)
	}
}

func TestTicketAndVoteGoesOverARotation(t *testing.T) {
	for _, code := range []statusv1.Code{statusv1.Code_CODE_TICKET_EXPIRED, statusv1.Code_CODE_TICKET_SUPERSEDED} {
		behind := newServices(t)
		behind.vote = func(_ context.Context, vote *votev1.Vote) *votev1.Verdict {
			if behind.voteCalls.Load() < 3 {
				return refusedWith(code)
			}
			return counted(vote)
		}
		gateway := behind.start(t)
		got := gateway.ask(ticketAndVoteDocument, variables{"usernames": []string{"A"}}).field(t, "ticketAndVote")
		if got["success"] != true || behind.voteCalls.Load() != 3 {
			t.Errorf("%v: %+v after %d calls", code, got, behind.voteCalls.Load())
		}
	}
}

func TestTicketAndVoteGivesUp(t *testing.T) {
	behind := newServices(t)
	behind.vote = func(context.Context, *votev1.Vote) *votev1.Verdict {
		return refusedWith(statusv1.Code_CODE_TICKET_EXPIRED)
	}
	cfg := behind.config(t)
	cfg.Gateway.Votes.TicketWait = 100 * time.Millisecond
	gateway := start(t, cfg)
	got := gateway.ask(ticketAndVoteDocument, variables{"usernames": []string{"A"}}).field(t, "ticketAndVote")
	if got["code"] != "TICKET_EXPIRED" || behind.voteCalls.Load() < 2 {
		t.Errorf("%+v after %d calls", got, behind.voteCalls.Load())
	}
}

func TestExhaustedIsNeverRetried(t *testing.T) {
	behind := newServices(t)
	behind.vote = func(context.Context, *votev1.Vote) *votev1.Verdict {
		verdict := refusedWith(statusv1.Code_CODE_TICKET_EXHAUSTED)
		verdict.Retryable = true
		return verdict
	}
	gateway := behind.start(t)
	got := gateway.ask(ticketAndVoteDocument, variables{"usernames": []string{"A"}}).field(t, "ticketAndVote")
	if got["code"] != "TICKET_EXHAUSTED" || got["retryable"] != true || behind.voteCalls.Load() != 1 {
		t.Errorf("%+v after %d calls", got, behind.voteCalls.Load())
	}
	// Nor is the ticket that a client holds ever exchanged for another.
	behind.vote = func(context.Context, *votev1.Vote) *votev1.Verdict {
		return refusedWith(statusv1.Code_CODE_TICKET_SUPERSEDED)
	}
	gateway.ask(voteDocument, variables{"input": variables{"usernames": []string{"A"}, "ticket": ticketInput(t, claimsNow("main"))}})
	if calls := behind.voteCalls.Load(); calls != 2 {
		t.Errorf("%d calls", calls)
	}
}

func TestSeveralMutationsRunInOrder(t *testing.T) {
	behind := newServices(t)
	seen := behind.recorded()
	gateway := behind.start(t)
	gateway.ask(`mutation { a: ticketAndVote(usernames: "A") { code } b: ticketAndVote(usernames: ["B"]) { code } }`, nil)
	if first, second := <-seen, <-seen; first.GetChoices()[0].GetCandidate() != "A" || second.GetChoices()[0].GetCandidate() != "B" {
		t.Error("out of order")
	}
}

func TestMessagesInEnglish(t *testing.T) {
	gateway := newServices(t).start(t)
	got := gateway.ask(ticketAndVoteDocument, variables{"usernames": []string{"A"}}, "Accept-Language", "en").field(t, "ticketAndVote")
	if got["message"] != "Vote counted" {
		t.Errorf("%+v", got)
	}
	got = gateway.ask(ticketAndVoteDocument, variables{"usernames": []string{}}, "Accept-Language", "en").field(t, "ticketAndVote")
	if got["message"] != "The list of usernames must not be empty" {
		t.Errorf("%+v", got)
	}
}

// A name comes back as it was sent, whatever it holds.
func TestEchoIsExact(t *testing.T) {
	behind := newServices(t)
	behind.vote = func(context.Context, *votev1.Vote) *votev1.Verdict {
		return refusedWith(statusv1.Code_CODE_INVALID_ARGUMENT)
	}
	gateway := behind.start(t)
	for _, name := range []string{"a\"b\\c", "\u2028", "<script>", "\x00\x01\n", "😀", "__proto__", "' OR 1=1", "\u202E"} {
		got := gateway.ask(ticketAndVoteDocument, variables{"usernames": []string{name}}).field(t, "ticketAndVote")
		if diff := cmp.Diff([]any{name}, got["usernames"]); diff != "" {
			t.Errorf("%q: %s", name, diff)
		}
	}
	// As a literal in the document as well.
	quoted, _ := json.Marshal(`x"y\z`)
	got := gateway.ask(`mutation { ticketAndVote(usernames: [`+string(quoted)+`]) { usernames } }`, nil).field(t, "ticketAndVote")
	if diff := cmp.Diff([]any{`x"y\z`}, got["usernames"]); diff != "" {
		t.Error(diff)
	}
}
