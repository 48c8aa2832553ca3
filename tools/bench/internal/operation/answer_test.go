package operation

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/littlevote/littlevote/tools/bench/internal/wire"
)

func TestJudgeAnswers(t *testing.T) {
	var (
		success       = Answer{Kind: Success, Code: "OK"}
		refused       = func(code string) Answer { return Answer{Kind: Refused, Code: code} }
		failed        = func(code string) Answer { return Answer{Kind: Failed, Code: code} }
		failedUnknown = func(code string) Answer { return Answer{Kind: Failed, Code: code, Unknown: true} }
	)
	for _, c := range []struct {
		name      string
		operation Operation
		status    int
		body      string
		want      Answer
	}{
		{"vote counted", Vote, 200, `{"data":{"vote":{"success":true,"message":"投票成功","usernames":["A"],"timestamp":"t","code":"OK","outcome":"COUNTED"}}}`, success},
		{"vote counted, with blanks", TicketAndVote, 200, `{"data": {"ticketAndVote": {"success": true, "code": "OK", "outcome": "COUNTED"}}}`, success},
		{"vote refused", Vote, 200, `{"data":{"vote":{"success":false,"message":"票据","code":"TICKET_EXPIRED","outcome":"NONE"}}}`, refused("TICKET_EXPIRED")},
		{"vote refused, with blanks", Vote, 200, `{"data": {"vote": {"success": false, "code": "TICKET_EXPIRED", "outcome": "NONE"}}}`, refused("TICKET_EXPIRED")},
		{"vote with unknown outcome", Vote, 200, `{"data":{"vote":{"success":false,"code":"OUTCOME_UNKNOWN","outcome":"UNKNOWN"}}}`, failedUnknown("OUTCOME_UNKNOWN")},
		{"a fault without effect", Vote, 200, `{"data":{"vote":{"success":false,"code":"INTERNAL","outcome":"NONE"}}}`, failed("INTERNAL")},
		{"refused without outcome", Vote, 200, `{"data":{"vote":{"success":false,"code":"OVERLOADED"}}}`, failedUnknown("OVERLOADED")},
		{"counted without success", Vote, 200, `{"data":{"vote":{"success":false,"code":"OK","outcome":"COUNTED"}}}`, failedUnknown("OK")},
		{"a code that is none", Vote, 200, `{"data":{"vote":{"success":false,"code":"line 1","outcome":"NONE"}}}`, failedUnknown("unreadable answer")},
		{"a message that pretends", Vote, 200, `{"data":{"vote":{"success":false,"message":"\"success\":true","code":"INVALID_ARGUMENT","outcome":"NONE"}}}`, refused("INVALID_ARGUMENT")},
		{"a vote's GraphQL error", Vote, 200, `{"errors":[{"message":"internal system error"}],"data":null}`, failedUnknown("GraphQL error")},
		{"a vote stopped at the door", Vote, 200, `{"errors":[{"message":"m","extensions":{"code":"UNAUTHENTICATED"}}],"data":null}`, refused("UNAUTHENTICATED")},
		{"another error of a vote", Vote, 200, `{"errors":[{"message":"m","extensions":{"code":"UNAVAILABLE"}}],"data":null}`, failedUnknown("UNAVAILABLE")},
		{"a vote's empty answer", Vote, 200, ``, failedUnknown("unreadable answer")},
		{"too many requests", Vote, 429, `{"errors":[]}`, refused("RATE_LIMITED")},
		{"a bad request", Vote, 400, `bad`, failed("HTTP 400")},
		{"a success under an error status", Vote, 500, `{"data":{"vote":{"success":true}}}`, failedUnknown("HTTP 500")},
		{"a read's server error", GetTicket, 503, ``, failed("HTTP 503")},

		{"ticket", GetTicket, 200, `{"data":{"getTicket":{"value":"x","version":"1.1.1"}}}`, success},
		{"ticket, with blanks", GetTicket, 200, `{"data": {"getTicket": {"value": "x"}}}`, success},
		{"no ticket", GetTicket, 200, `{"errors":[{"message":"m","path":["getTicket"],"extensions":{"code":"TICKET_EXHAUSTED"}}],"data":null}`, refused("TICKET_EXHAUSTED")},
		{"a read's fault", GetTicket, 200, `{"errors":[{"message":"m","extensions":{"code":"INTERNAL"}}],"data":null}`, failed("INTERNAL")},
		{"no ticket and no error", GetTicket, 200, `{"data":{"getTicket":null}}`, failed("unreadable answer")},

		{"count", GetUserVotes, 200, `{"data":{"getUserVotes":{"username":"A","votes":7,"updatedAt":"t"}}}`, success},
		{"count of nothing", GetUserVotes, 200, `{"data": {"getUserVotes": {"username": "A", "votes": 0}}}`, success},
		{"count overflow", GetUserVotes, 200, `{"errors":[{"message":"\"votes\":1","extensions":{"code":"COUNT_OVERFLOW"}}],"data":{"getUserVotes":null}}`, refused("COUNT_OVERFLOW")},
		{"not JSON", GetUserVotes, 200, `<html>`, failed("unreadable answer")},
	} {
		got := Judge(c.operation, wire.Answer{Status: c.status, Body: []byte(c.body)}, nil)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestJudgeErrors(t *testing.T) {
	lost := fmt.Errorf("read: %w: %w", errors.New("EOF"), wire.ErrUnanswered)
	late := fmt.Errorf("read: %w: %w", os.ErrDeadlineExceeded, wire.ErrUnanswered)
	for _, c := range []struct {
		operation Operation
		err       error
		want      Answer
	}{
		{Vote, lost, Answer{Kind: Failed, Code: "connection lost", Unknown: true}},
		{TicketAndVote, late, Answer{Kind: Failed, Code: "timeout", Unknown: true}},
		{GetTicket, lost, Answer{Kind: Failed, Code: "connection lost"}},
		{Vote, errors.New("refused"), Answer{Kind: Failed, Code: "no connection"}},
	} {
		if diff := cmp.Diff(c.want, Judge(c.operation, wire.Answer{}, c.err)); diff != "" {
			t.Errorf("%s, %v (-want +got):\n%s", c.operation, c.err, diff)
		}
	}
}
