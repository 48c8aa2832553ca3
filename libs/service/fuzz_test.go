package service

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"connectrpc.com/connect"

	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
	"github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1/votev1connect"
)

// FuzzConnectJSON sends bodies as a stranger would. Every answer is JSON, and either success or a refusal that blames the
// client; what reaches the service is text, and no more than was sent.
func FuzzConnectJSON(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `[]`, `"x"`, `{"votes":[]}`,
		`{"votes":[{"ballot":"main","choices":[{"candidate":"A","count":"1"}],"newestTicket":true}]}`,
		`{"votes":[{"choices":[{"candidate":"A","count":1.0}]}]}`,
		`{"votes":[{"choices":[{"candidate":"A","count":1e300}]}]}`,
		`{"votes":[{"choices":[{"candidate":"A","count":-1}],"ticket":{"value":"x"},"newestTicket":true}]}`,
		`{"votes":[{"voter":"\u0000"}]}`, `{"votes":[{"voter":"\ud800"}]}`, "{\"votes\":[{\"voter\":\"\xff\"}]}",
		`{"votes":[{"__proto__":{}}]}`, `{"votes":{"0":{}}}`, `{"votes":[null]}`, strings.Repeat(`{"votes":[`, 200),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		service := fake{cast: func(_ context.Context, req *votev1.CastVotesRequest) (*votev1.CastVotesResponse, error) {
			for _, vote := range req.GetVotes() {
				for _, text := range []string{vote.GetBallot(), vote.GetVoter(), vote.GetVoterLabel(), vote.GetIdempotencyKey()} {
					if !utf8.ValidString(text) || len(text) > len(body) {
						t.Errorf("%q reached the service", text)
					}
				}
			}
			return &votev1.CastVotesResponse{}, nil
		}}
		logs := &logBuffer{}
		path, handler := votev1connect.NewVoteServiceHandler(service, HandlerOptions(Host{Log: slog.New(slog.NewTextHandler(logs, nil))})...)
		mux := rpcMux(t.Context(), nil, NewHealth(), []Mount{{Name: votev1connect.VoteServiceName, Path: path, Handler: handler}})
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, votev1connect.VoteServiceCastVotesProcedure, strings.NewReader(string(body)))
		request.Header.Set("Content-Type", "application/json")
		answer := httptest.NewRecorder()
		mux.ServeHTTP(answer, request)

		var problem struct{ Code string }
		if err := json.Unmarshal(answer.Body.Bytes(), &problem); err != nil {
			t.Fatalf("the answer is no JSON: %v: %s", err, answer.Body)
		}
		switch {
		case answer.Code == http.StatusOK:
		case problem.Code == connect.CodeInvalidArgument.String(), problem.Code == connect.CodeResourceExhausted.String():
		default:
			t.Errorf("%d %s", answer.Code, answer.Body)
		}
		if logged := logs.String(); logged != "" {
			t.Errorf("logged: %s", logged)
		}
	})
}
