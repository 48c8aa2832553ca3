package operation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"

	"github.com/littlevote/littlevote/tools/bench/internal/wire"
)

// Kind is what an answer amounts to.
type Kind int

// A success did what was asked. A refusal is the system's typed no: nothing happened. Everything else failed.
const (
	Success Kind = iota
	Refused
	Failed
)

// Answer is the verdict on one request.
type Answer struct {
	Kind Kind
	// Code is the refusal's code, or names the failure; from a small set either way.
	Code string
	// Unknown says that a vote without success may count nevertheless.
	Unknown bool
}

const codeOutcomeUnknown = "OUTCOME_UNKNOWN"

// Judge tells what an answer to the operation means.
func Judge(operation Operation, answer wire.Answer, err error) Answer {
	switch {
	case err != nil:
		return judgeError(operation, err)
	case answer.Status != http.StatusOK:
		return judgeStatus(operation, answer)
	case operation.Writes():
		return judgeVote(operation, answer.Body)
	default:
		return judgeRead(operation, answer.Body)
	}
}

func judgeError(operation Operation, err error) Answer {
	unanswered := errors.Is(err, wire.ErrUnanswered)
	judged := Answer{Kind: Failed, Code: "no connection", Unknown: unanswered && operation.Writes()}
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		judged.Code = "timeout"
	case unanswered:
		judged.Code = "connection lost"
	}
	return judged
}

// judgeStatus judges what is not 200. A 4xx was refused before anything ran; of a 5xx nobody knows.
func judgeStatus(operation Operation, answer wire.Answer) Answer {
	if answer.Status == http.StatusTooManyRequests {
		return Answer{Kind: Refused, Code: "RATE_LIMITED"}
	}
	return Answer{
		Kind:    Failed,
		Code:    "HTTP " + strconv.Itoa(answer.Status),
		Unknown: operation.Writes() && answer.Status >= http.StatusInternalServerError,
	}
}

// judgeVote searches for what the operation's document is sure to select. A quote inside a JSON string is written \",
// so no text of a message can look like a field.
func judgeVote(operation Operation, body []byte) Answer {
	if bytes.Contains(body, []byte(`"success":true`)) {
		return Answer{Kind: Success, Code: "OK"}
	}
	if bytes.Contains(body, []byte(`"success":false`)) {
		return verdict(field(body, `"code":"`), field(body, `"outcome":"`))
	}
	return judgeSlowly(operation, body)
}

// verdict judges a vote's answer without success.
func verdict(code, outcome string) Answer {
	switch {
	case outcome == "NONE" && code == "INTERNAL":
		return Answer{Kind: Failed, Code: code}
	case outcome == "NONE" && code != "":
		return Answer{Kind: Refused, Code: code}
	}
	if code == "" {
		code = "unreadable answer"
	}
	return Answer{Kind: Failed, Code: code, Unknown: true}
}

func judgeRead(operation Operation, body []byte) Answer {
	wanted := `"votes":`
	if operation == GetTicket {
		wanted = `"value":"`
	}
	if bytes.Contains(body, []byte(wanted)) && !bytes.Contains(body, []byte(`"errors":`)) {
		return Answer{Kind: Success, Code: "OK"}
	}
	return judgeSlowly(operation, body)
}

// field gives the plain word that follows the key, or nothing.
func field(body []byte, key string) string {
	_, rest, found := bytes.Cut(body, []byte(key))
	end := bytes.IndexByte(rest, '"')
	if !found || end < 0 {
		return ""
	}
	return word(string(rest[:end]))
}

// word lets through what looks like a code. The codes become lines of the report, so their number must have a bound.
func word(code string) string {
	if len(code) > 40 {
		return ""
	}
	for _, r := range code {
		if (r < 'A' || r > 'Z') && r != '_' {
			return ""
		}
	}
	return code
}

// judgeSlowly decodes the whole answer: it has errors, or is not as compact as ours.
func judgeSlowly(operation Operation, body []byte) Answer {
	failed := Answer{Kind: Failed, Code: "unreadable answer", Unknown: operation.Writes()}
	var decoded struct {
		Data   map[string]json.RawMessage `json:"data"`
		Errors []struct {
			Extensions struct {
				Code string `json:"code"`
			} `json:"extensions"`
		} `json:"errors"`
	}
	if err := json.Unmarshal(body, &decoded); err != nil {
		return failed
	}
	if len(decoded.Errors) > 0 {
		return judgeGraphQLError(operation, word(decoded.Errors[0].Extensions.Code))
	}
	var result struct {
		Success bool    `json:"success"`
		Code    string  `json:"code"`
		Outcome string  `json:"outcome"`
		Value   *string `json:"value"`
		Votes   *int64  `json:"votes"`
	}
	if err := json.Unmarshal(decoded.Data[string(operation)], &result); err != nil {
		return failed
	}
	switch {
	case operation.Writes() && !result.Success:
		return verdict(word(result.Code), word(result.Outcome))
	case operation == GetTicket && result.Value == nil, operation == GetUserVotes && result.Votes == nil:
		return failed
	default:
		return Answer{Kind: Success, Code: "OK"}
	}
}

// judgeGraphQLError judges an answer with GraphQL errors. For reads a code is a refusal. For votes errors are said at
// the door only, before anything happened; any other is a fault, and leaves open what became of the vote.
func judgeGraphQLError(operation Operation, code string) Answer {
	switch code {
	case "":
		return Answer{Kind: Failed, Code: "GraphQL error", Unknown: operation.Writes()}
	case "RATE_LIMITED", "INVALID_ARGUMENT", "UNAUTHENTICATED", "PERMISSION_DENIED":
		return Answer{Kind: Refused, Code: code}
	case "INTERNAL", codeOutcomeUnknown:
		return Answer{Kind: Failed, Code: code, Unknown: operation.Writes()}
	}
	if operation.Writes() {
		return Answer{Kind: Failed, Code: code, Unknown: true}
	}
	return Answer{Kind: Refused, Code: code}
}

// DecodeTicket reads the answer to getTicket.
func DecodeTicket(answer wire.Answer) (Ticket, error) {
	judged := Judge(GetTicket, answer, nil)
	if judged.Kind != Success {
		return Ticket{}, fmt.Errorf("getTicket: %s", judged.Code)
	}
	var decoded struct {
		Data struct {
			GetTicket Ticket `json:"getTicket"`
		} `json:"data"`
	}
	if err := json.Unmarshal(answer.Body, &decoded); err != nil {
		return Ticket{}, fmt.Errorf("getTicket: %w", err)
	}
	return decoded.Data.GetTicket, nil
}

// DecodeCounts reads the answer to the read of all counts.
func DecodeCounts(answer wire.Answer) (map[string]int64, error) {
	var decoded struct {
		Data struct {
			Counts []struct {
				Username   string `json:"username"`
				VotesExact int64  `json:"votesExact,string"`
				Stale      bool   `json:"stale"`
			} `json:"getAllUserVotes"`
		} `json:"data"`
		Errors []struct {
			Message string `json:"message"`
		} `json:"errors"`
	}
	if err := json.Unmarshal(answer.Body, &decoded); err != nil {
		return nil, fmt.Errorf("getAllUserVotes: status %d: %w", answer.Status, err)
	}
	if answer.Status != http.StatusOK || len(decoded.Errors) > 0 || len(decoded.Data.Counts) == 0 {
		return nil, fmt.Errorf("getAllUserVotes: status %d: %.300s", answer.Status, answer.Body)
	}
	counts := make(map[string]int64, len(decoded.Data.Counts))
	for _, count := range decoded.Data.Counts {
		if count.Stale {
			return nil, fmt.Errorf("getAllUserVotes: the count of %s is stale", count.Username)
		}
		counts[count.Username] = count.VotesExact
	}
	return counts, nil
}
