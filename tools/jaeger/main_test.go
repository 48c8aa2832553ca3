package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/littlevote/littlevote/tools/internal/votetrace"
)

// answers are what the query API says of two traces that are linked, as Jaeger 1.76 writes it.
const (
	answerOne = `{"data":[{"traceID":"1","spans":[{"traceID":"1","spanID":"a","operationName":"vote","startTime":1000000,"duration":1500,"processID":"p1",
		"references":[{"refType":"CHILD_OF","traceID":"1","spanID":"b"},{"refType":"FOLLOWS_FROM","traceID":"2","spanID":"c"}],
		"tags":[{"key":"littlevote.code","type":"string","value":"OK"},{"key":"littlevote.retries","type":"int64","value":0},{"key":"error","type":"bool","value":true}]}],
		"processes":{"p1":{"serviceName":"gateway"}}}]}`
	answerTwo = `{"data":[{"traceID":"2","spans":[{"traceID":"2","spanID":"c","operationName":"CastVotes batch","startTime":1000001,"duration":1,"processID":"p1",
		"references":[{"refType":"FOLLOWS_FROM","traceID":"1","spanID":"a"},{"refType":"FOLLOWS_FROM","traceID":"3","spanID":"gone"}]}],
		"processes":{"p1":{"serviceName":"gateway"}}}]}`
)

func TestTheQueryFollowsLinks(t *testing.T) {
	asked := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked[r.URL.Path]++
		switch r.URL.Path {
		case "/api/traces/1":
			fmt.Fprint(w, answerOne)
		case "/api/traces/2":
			fmt.Fprint(w, answerTwo)
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	got, err := query{url: server.URL}.whole(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	one, two := votetrace.ID{Trace: "1", Span: "a"}, votetrace.ID{Trace: "2", Span: "c"}
	want := votetrace.Spans{
		{
			ID: one, Parent: "b", Service: "gateway", Name: "vote", Start: time.UnixMicro(1_000_000), Took: 1500 * time.Microsecond, Failed: true,
			Attributes: map[string]string{"littlevote.code": "OK", "littlevote.retries": "0", "error": "true"}, Links: []votetrace.ID{two},
		},
		{
			ID: two, Service: "gateway", Name: "CastVotes batch", Start: time.UnixMicro(1_000_001), Took: time.Microsecond,
			Attributes: map[string]string{}, Links: []votetrace.ID{one, {Trace: "3", Span: "gone"}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]int{"/api/traces/1": 1, "/api/traces/2": 1, "/api/traces/3": 1}, asked); diff != "" {
		t.Error(diff)
	}
}

func TestTheCommandLine(t *testing.T) {
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--help"}, exitFound, "--keep"},
		{[]string{"--unknown"}, exitUsage, "unknown flag"},
		{[]string{"a vote"}, exitUsage, "expected flags only"},
	} {
		var stderr bytes.Buffer
		if code := run(test.args, &bytes.Buffer{}, &stderr); code != test.code || !strings.Contains(stderr.String(), test.says) {
			t.Errorf("%q: exit %d, %s", test.args, code, stderr.String())
		}
	}
}

// What Jaeger needs must not change what the rest is made of.
func TestJaegersModuleIsNoneOfTheWorkspace(t *testing.T) {
	workspace, err := os.ReadFile("../../go.work")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(workspace), "jaeger") {
		t.Error("go.work uses it")
	}
	dir, err := moduleDir(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keyOf(dir); err != nil {
		t.Error(err)
	}
	if pinned, err := os.ReadFile(dir + "/go.mod"); err != nil || !strings.Contains(string(pinned), "github.com/jaegertracing/jaeger v1.76.0") {
		t.Errorf("%v: Jaeger is not pinned", err)
	}
}
