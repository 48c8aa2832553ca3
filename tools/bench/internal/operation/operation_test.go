package operation

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/littlevote/littlevote/tools/bench/internal/wire"
)

func target(t *testing.T) wire.Target {
	t.Helper()
	target, err := wire.ParseTarget(t.Context(), "http://127.0.0.1:8080/graphql")
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// decode reads an encoded request as a server does.
func decode(t *testing.T, encoded []byte) (document string, variables map[string]any) {
	t.Helper()
	request, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(encoded)))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(request.Body)
	if err != nil {
		t.Fatal(err)
	}
	var decoded struct {
		Query     string
		Variables map[string]any
	}
	if err := json.Unmarshal(body, &decoded); err != nil {
		t.Fatal(err)
	}
	return decoded.Query, decoded.Variables
}

func TestRequestsKeepTheDocumentAndVaryTheVariables(t *testing.T) {
	ticket := Ticket{Value: "v", Version: "1.2.3", RemainingUsages: 2147483647, ExpiresAt: "2026-11-21T00:00:02Z", CreatedAt: "2026-11-21T00:00:00Z"}
	for operation, requests := range map[Operation][][]byte{
		GetTicket:     Requests(target(t), GetTicket, 1),
		GetUserVotes:  Requests(target(t), GetUserVotes, 1),
		TicketAndVote: Requests(target(t), TicketAndVote, 3),
		Vote:          VoteRequests(target(t), ticket, 3),
	} {
		documents, variables := map[string]bool{}, map[string]bool{}
		for _, request := range requests {
			document, v := decode(t, request)
			text, _ := json.Marshal(v)
			documents[document], variables[string(text)] = true, true
		}
		if len(documents) != 1 || len(variables) != len(requests) {
			t.Errorf("%s: %d documents and %d sets of variables in %d requests", operation, len(documents), len(variables), len(requests))
		}
	}

	_, variables := decode(t, VoteRequests(target(t), ticket, 3)[25])
	want := map[string]any{"input": map[string]any{
		"usernames": []any{"Z", "A", "B"},
		"ticket": map[string]any{
			"value": "v", "version": "1.2.3", "remainingUsages": 2147483647.0,
			"expiresAt": "2026-11-21T00:00:02Z", "createdAt": "2026-11-21T00:00:00Z",
		},
	}}
	if diff := cmp.Diff(want, variables); diff != "" {
		t.Errorf("variables of vote (-want +got):\n%s", diff)
	}
}

func TestParse(t *testing.T) {
	got, err := Parse([]string{"vote", " getTicket"})
	if diff := cmp.Diff([]Operation{Vote, GetTicket}, got); diff != "" || err != nil {
		t.Errorf("error %v, operations (-want +got):\n%s", err, diff)
	}
	for _, bad := range [][]string{nil, {"votes"}, {"vote", "vote"}, {""}} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("%q: accepted", bad)
		}
	}
}

func TestCountsAreExactAndNeverStale(t *testing.T) {
	body := `{"data":{"getAllUserVotes":[{"username":"A","votesExact":"9007199254740993","stale":false},{"username":"B","votesExact":"0","stale":false}]}}`
	got, err := DecodeCounts(wire.Answer{Status: 200, Body: []byte(body)})
	if diff := cmp.Diff(map[string]int64{"A": 9007199254740993, "B": 0}, got); diff != "" || err != nil {
		t.Errorf("error %v, counts (-want +got):\n%s", err, diff)
	}
	for name, answer := range map[string]wire.Answer{
		"stale":   {Status: 200, Body: []byte(`{"data":{"getAllUserVotes":[{"username":"A","votesExact":"1","stale":true}]}}`)},
		"empty":   {Status: 200, Body: []byte(`{"data":{"getAllUserVotes":[]}}`)},
		"error":   {Status: 200, Body: []byte(`{"errors":[{"message":"no"}],"data":null}`)},
		"status":  {Status: 503, Body: []byte(`{"data":{"getAllUserVotes":[{"username":"A","votesExact":"1"}]}}`)},
		"garbage": {Status: 200, Body: []byte(`<html>`)},
	} {
		if counts, err := DecodeCounts(answer); err == nil {
			t.Errorf("%s: accepted as %v", name, counts)
		}
	}
}

func TestDecodeTicket(t *testing.T) {
	body := `{"data":{"getTicket":{"value":"v","version":"1.2.3","remainingUsages":7,"expiresAt":"e","createdAt":"c"}}}`
	got, err := DecodeTicket(wire.Answer{Status: 200, Body: []byte(body)})
	want := Ticket{Value: "v", Version: "1.2.3", RemainingUsages: 7, ExpiresAt: "e", CreatedAt: "c"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("error %v, ticket (-want +got):\n%s", err, diff)
	}
	refused := `{"errors":[{"message":"x","extensions":{"code":"TICKET_EXHAUSTED"}}],"data":null}`
	if ticket, err := DecodeTicket(wire.Answer{Status: 200, Body: []byte(refused)}); err == nil {
		t.Errorf("accepted as %v", ticket)
	}
}
