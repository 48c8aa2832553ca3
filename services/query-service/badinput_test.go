package queryservice_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/littlevote/littlevote/libs/testenv"
	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"

	queryservice "github.com/littlevote/littlevote/services/query-service"
)

// Names that can't have votes are refused in their own tally, wherever the counts come from, and fail nobody else.
func TestBadNames(t *testing.T) {
	w := newWorld(t, testenv.Redis(t), func(*queryservice.Config) {})
	read := func() {
		t.Helper()
		for _, name := range []string{"", "a\x00b", "\x00", strings.Repeat("a", 257), strings.Repeat("票", 100_000)} {
			got := w.read(&queryv1.TallyRead{Ballot: "cast", Candidates: []string{"bob", name}}, &queryv1.TallyRead{Ballot: "cast", Candidates: []string{"bob"}})
			if got[0].GetCode() != statusv1.Code_CODE_INVALID_ARGUMENT || got[1].GetCode() != statusv1.Code_CODE_OK {
				t.Errorf("%.20q: %v %v", name, got[0].GetCode(), got[1].GetCode())
			}
		}
		for _, name := range []string{"' OR 1=1; --", "{}:*", "__proto__", "]] redis.call('FLUSHALL') --", "\u202e", "a\nb", "%", "\\", "😀", strings.Repeat("a", 256)} {
			if got := w.read(&queryv1.TallyRead{Ballot: "cast", Candidates: []string{name}})[0]; got.GetCode() != statusv1.Code_CODE_OK || votes(got)[name] != 0 {
				t.Errorf("%.20q: %v", name, got)
			}
		}
		for _, ballot := range []string{"Main", "main\x00", "../main", "{main}", "*", "' OR 1=1", strings.Repeat("a", 100_000)} {
			if got := w.read(&queryv1.TallyRead{Ballot: ballot})[0]; got.GetCode() != statusv1.Code_CODE_BALLOT_NOT_FOUND {
				t.Errorf("%.20q: %v", ballot, got.GetCode())
			}
		}
		for _, name := range []string{"a", "AA", "A ", "Ａ", "А", "A\u200b", "[", "@"} {
			if got := w.read(&queryv1.TallyRead{Candidates: []string{"A", name}})[0]; got.GetCode() != statusv1.Code_CODE_INVALID_ARGUMENT {
				t.Errorf("%q: %v", name, got.GetCode())
			}
		}
	}
	read()
	w.freeze()
	if err := w.ledger.Unlink(t.Context(), w.fence.NS); err != nil {
		t.Fatal(err)
	}
	w.awaitSource(queryv1.Source_SOURCE_POSTGRES_PRIMARY)
	read()
}

// Connect with JSON, by hand: whatever comes in is a definite refusal, and the process stays up.
func TestBadRequests(t *testing.T) {
	w := newWorld(t, testenv.Redis(t), func(*queryservice.Config) {})
	post := func(body string, header ...string) (int, string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+"/littlevote.query.v1.QueryService/GetTallies", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		for i := 0; i < len(header); i += 2 {
			request.Header.Set(header[i], header[i+1])
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(text)
	}
	const good = `{"reads":[{"ballot":"main"}]}`
	for name, test := range map[string]struct {
		body   string
		header []string
		status int
		text   string
	}{
		"good":              {good, nil, 200, `"tallies"`},
		"no reads":          {`{}`, nil, 400, "invalid_argument"},
		"nothing":           {``, nil, 400, "invalid_argument"},
		"no JSON":           {`reads`, nil, 400, "invalid_argument"},
		"list":              {`[]`, nil, 400, "invalid_argument"},
		"cut off":           {`{"reads":[`, nil, 400, "invalid_argument"},
		"two":               {good + good, nil, 400, "invalid_argument"},
		"unknown field":     {`{"reads":[{"ballot":"main","admin":true}]}`, nil, 200, `"tallies"`}, // of a newer client
		"number as a name":  {`{"reads":[{"ballot":1}]}`, nil, 400, "invalid_argument"},
		"object as a list":  {`{"reads":{}}`, nil, 400, "invalid_argument"},
		"lone surrogate":    {`{"reads":[{"ballot":"\ud800"}]}`, nil, 400, "invalid_argument"},
		"invalid UTF-8":     {"{\"reads\":[{\"ballot\":\"\xff\"}]}", nil, 400, "invalid_argument"},
		"5 MB":              {`{"reads":[{"ballot":"` + strings.Repeat("a", 5<<20) + `"}]}`, nil, 429, "resource_exhausted"},
		"no gzip":           {good, []string{"Content-Encoding", "gzip"}, 400, "invalid_argument"},
		"unknown coding":    {good, []string{"Content-Encoding", "br"}, 501, "unimplemented"},
		"other type":        {good, []string{"Content-Type", "text/plain"}, 415, ""},
		"timeout of words":  {good, []string{"Connect-Timeout-Ms", "soon"}, 400, "invalid_argument"},
		"timeout below 0":   {good, []string{"Connect-Timeout-Ms", "-1"}, 400, ""},
		"timeout too large": {good, []string{"Connect-Timeout-Ms", "1000000000000000"}, 400, "invalid_argument"},
		"other version":     {good, []string{"Connect-Protocol-Version", "9"}, 400, "invalid_argument"},
	} {
		status, text := post(test.body, test.header...)
		if status != test.status || !strings.Contains(text, test.text) || len(text) > 1<<16 {
			t.Errorf("%s: %d %.300s", name, status, text)
		}
	}
	// gRPC by hand: a frame that lies about its length, or says that it is compressed.
	for name, frame := range map[string][]byte{
		"longer than it is": {0, 0, 0, 1, 0, 1}, "compressed": {1, 0, 0, 0, 1, 0}, "4 GB": {0, 255, 255, 255, 255}, "no protobuf": {0, 0, 0, 0, 2, 255, 255}, "flags": {255, 0, 0, 0, 0},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+"/littlevote.query.v1.QueryService/GetTallies", bytes.NewReader(frame))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/grpc-web+proto")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		text, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if status := response.Header.Get("Grpc-Status"); (status == "" || status == "0") && !strings.Contains(strings.ToLower(string(text)), "grpc-status: ") {
			t.Errorf("%s: no error: %v %q", name, response.Header, text)
		}
	}
	if status, _ := post(good); status != http.StatusOK {
		t.Errorf("afterwards: %d", status)
	}
}
