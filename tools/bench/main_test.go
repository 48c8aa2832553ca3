package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/littlevote/littlevote/tools/bench/internal/operation"
	"github.com/littlevote/littlevote/tools/bench/internal/report"
)

// The benchmark runs its own program as the floor; in a test that is the test's program.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == floorCommand {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	// The race detector makes each process linger for a second; the floor need not.
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0")
	os.Exit(m.Run())
}

// station is a small Little Vote with a flaw: what it does to the n-th vote's count is up to it.
type station struct {
	cap    int                // uses left, as it tells; no vote is refused for it
	counts func(n int) int    // how often the n-th vote counts; nil: once
	answer func(n int) string // what is said of the n-th vote; "": the truth
	voted  chan struct{}      // gets a word with each vote, if anybody listens
	mu     sync.Mutex
	votes  int
	tally  [operation.Candidates]int
}

func (s *station) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Query     string
		Variables struct {
			Username  string
			Usernames []string
			Input     struct {
				Usernames []string
				Ticket    operation.Ticket
			}
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch variables := request.Variables; {
	case strings.Contains(request.Query, "{ getTicket"):
		fmt.Fprintf(w, `{"data":{"getTicket":{"value":"v","version":"1.1.1","remainingUsages":%d,"expiresAt":"2100-01-01T00:00:00Z","createdAt":"2026-11-21T00:00:00Z"}}}`, s.cap)
	case strings.Contains(request.Query, "{ getUserVotes"):
		fmt.Fprintf(w, `{"data":{"getUserVotes":{"username":"A","votes":%d,"updatedAt":"t"}}}`, s.tally[variables.Username[0]-'A'])
	case strings.Contains(request.Query, "{ getAllUserVotes"):
		s.all(w)
	case strings.Contains(request.Query, "{ vote(") && variables.Input.Ticket.Value == "v":
		s.vote(w, variables.Input.Usernames)
	case strings.Contains(request.Query, "{ ticketAndVote("):
		s.vote(w, variables.Usernames)
	}
}

func (s *station) all(w io.Writer) {
	var list []string
	for i, votes := range s.tally {
		list = append(list, fmt.Sprintf(`{"username":"%c","votesExact":"%d","stale":false}`, 'A'+i, votes))
	}
	fmt.Fprintf(w, `{"data":{"getAllUserVotes":[%s]}}`, strings.Join(list, ","))
}

func (s *station) vote(w io.Writer, names []string) {
	s.votes++
	times, answer := 1, ""
	if s.counts != nil {
		times = s.counts(s.votes)
	}
	if s.answer != nil {
		answer = s.answer(s.votes)
	}
	for _, name := range names {
		s.tally[name[0]-'A'] += times
	}
	if answer == "" {
		answer = `{"data":{"vote":{"success":true,"code":"OK","outcome":"COUNTED"}}}`
	}
	_, _ = io.WriteString(w, answer)
	select {
	case s.voted <- struct{}{}:
	default:
	}
}

func (s *station) open(t *testing.T) string {
	t.Helper()
	if s.cap == 0 {
		s.cap = 1<<31 - 1
	}
	for i := range s.tally {
		s.tally[i] = 1000 + i // there were votes before
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return server.URL + "/graphql"
}

// bench runs the benchmark for a moment, with little patience for wrong counts.
func bench(t *testing.T, args ...string) (*report.Report, string, int) {
	t.Helper()
	s, err := parse(t.Context(), append([]string{"--connections", "4", "--duration", "300ms", "--warmup", "0s"}, args...), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	s.countsWithin = 100 * time.Millisecond
	var progress bytes.Buffer
	found, err := benchmark(t.Context(), t.Context(), s, "bench", &progress)
	text := progress.String()
	if err != nil {
		text += err.Error()
	}
	return found, text, exitCode(found, err)
}

func TestAGoodSystem(t *testing.T) {
	found, text, code := bench(t, "--url", (&station{}).open(t), "--names", "3")
	if code != exitGood || !found.Verified || len(found.Notes) > 0 {
		t.Fatalf("exit code %d, verified %v, notes %q; it said:\n%s", code, found.Verified, found.Notes, text)
	}
	for i, want := range operation.All() {
		got := found.Operations[i]
		if got.Name != string(want) || got.Floor.PerSecond <= 0 || got.System.PerSecond <= 0 || got.Ratio <= 0 || got.System.LatencyMs.Max <= 0 {
			t.Errorf("operation %d: %+v, floor %+v, system %+v", i, got, got.Floor, got.System)
		}
		if (got.Verification != nil) != want.Writes() {
			t.Errorf("%s: verification %+v", want, got.Verification)
		}
	}
}

func TestAnOpenLoopKeepsItsRate(t *testing.T) {
	found, text, code := bench(t, "--url", (&station{}).open(t), "--rate", "200", "--duration", "500ms", "--ops", "ticketAndVote")
	if code != exitGood {
		t.Fatalf("exit code %d; it said:\n%s", code, text)
	}
	for side, measured := range map[string]*report.Measured{"floor": found.Operations[0].Floor, "system": found.Operations[0].System} {
		if got := measured.LatencyMs.Samples + measured.Unsent; got != 100 {
			t.Errorf("%s: %d requests in half a second at 200 a second", side, got)
		}
	}
}

func TestWrongCountsAreRed(t *testing.T) {
	const refused = `{"data":{"vote":{"success":false,"code":"OVERLOADED","outcome":"NONE"}}}`
	const unknown = `{"data":{"vote":{"success":false,"code":"OUTCOME_UNKNOWN","outcome":"UNKNOWN"}}}`
	third := func(n, then, otherwise int) int {
		if n == 3 {
			return then
		}
		return otherwise
	}
	said := func(text string) func(int) string {
		return func(n int) string {
			if n == 3 {
				return text
			}
			return ""
		}
	}
	for _, c := range []struct {
		name   string
		flawed *station
		code   int
	}{
		{"a vote lost", &station{counts: func(n int) int { return third(n, 0, 1) }}, exitCounts},
		{"a vote doubled", &station{counts: func(n int) int { return third(n, 2, 1) }}, exitCounts},
		{"a refused vote counts", &station{answer: said(refused)}, exitCounts},
		{"an unknown vote counts twice", &station{answer: said(unknown), counts: func(n int) int { return third(n, 2, 1) }}, exitCounts},
		{"a refused vote", &station{answer: said(refused), counts: func(n int) int { return third(n, 0, 1) }}, exitGood},
		{"an unknown vote counts", &station{answer: said(unknown)}, exitGood},
		{"an unknown vote does not", &station{answer: said(unknown), counts: func(n int) int { return third(n, 0, 1) }}, exitGood},
	} {
		found, text, code := bench(t, "--url", c.flawed.open(t), "--ops", "vote")
		if code != c.code || found.Verified != (code == exitGood) {
			t.Errorf("%s: exit code %d, want %d; it said:\n%s", c.name, code, c.code, text)
		}
	}
}

func TestNothingButRefusalsIsNotGood(t *testing.T) {
	closed := &station{
		answer: func(int) string { return `{"data":{"vote":{"success":false,"code":"BALLOT_CLOSED","outcome":"NONE"}}}` },
		counts: func(int) int { return 0 },
	}
	found, text, code := bench(t, "--url", closed.open(t), "--ops", "ticketAndVote")
	if code != exitNotRun || !strings.Contains(text, "not one success") {
		t.Errorf("exit code %d, want %d; it said:\n%s", code, exitNotRun, text)
	}
	if found.Operations[0].System.Refused["BALLOT_CLOSED"] == 0 {
		t.Errorf("system %+v, want refusals", found.Operations[0].System)
	}
}

func TestACapIsTold(t *testing.T) {
	found, text, code := bench(t, "--url", (&station{cap: 1000}).open(t), "--ops", "vote")
	if code != exitGood || len(found.Notes) != 1 || !strings.Contains(text, "--ticket-cap none") {
		t.Errorf("exit code %d, notes %q; it said:\n%s", code, found.Notes, text)
	}
}

func TestNoSystemIsNotRun(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close()
	for _, operations := range []string{"vote", "getTicket"} {
		if _, text, code := bench(t, "--url", server.URL, "--ops", operations); code != exitNotRun {
			t.Errorf("%s: exit code %d, want %d; it said:\n%s", operations, code, exitNotRun, text)
		}
	}
}

func TestFloorOnly(t *testing.T) {
	var stdout, stderr bytes.Buffer
	code := run([]string{"--floor-only", "--json", "--connections", "4", "--duration", "100ms", "--warmup", "0s", "--ops", "getTicket"}, &stdout, &stderr)
	var found report.Report
	if err := json.Unmarshal(stdout.Bytes(), &found); err != nil || code != exitGood {
		t.Fatalf("exit code %d, error %v; it said:\n%s%s", code, err, stdout.String(), stderr.String())
	}
	if len(found.Operations) != 1 || found.Operations[0].System != nil || found.Operations[0].Floor.Successes == 0 {
		t.Errorf("operations %+v", found.Operations)
	}
}

// Ctrl-C ends the load, and what was measured and voted until then is reported and verified.
func TestCtrlCStopsInGoodOrder(t *testing.T) {
	s := &station{voted: make(chan struct{})}
	url := s.open(t)
	var stdout, stderr bytes.Buffer
	ended := make(chan int)
	go func() {
		ended <- run([]string{"--url", url, "--connections", "4", "--duration", "500ms", "--warmup", "0s", "--rate", "1000",
			"--ops", "ticketAndVote", "--json"}, &stdout, &stderr)
	}()
	for signalled := false; ; {
		select {
		case <-s.voted:
			if !signalled {
				signalled = true
				_ = syscall.Kill(os.Getpid(), syscall.SIGINT)
			}
		case code := <-ended:
			var found report.Report
			if err := json.Unmarshal(stdout.Bytes(), &found); err != nil || code != exitGood {
				t.Fatalf("exit code %d, error %v; it said:\n%s%s", code, err, stdout.String(), stderr.String())
			}
			if !found.Interrupted || !found.Verified || found.Operations[0].Verification.Acknowledged == 0 {
				t.Errorf("report %+v", found)
			}
			return
		}
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{"--url", "http://10.0.0.1:8080/graphql"}, {"--url", "https://127.0.0.1/graphql"}, {"--connections", "0"}, {"--rate", "-1"},
		{"--rate", "NaN"}, {"--duration", "0s"}, {"--warmup", "-1s"}, {"--names", "27"}, {"--ops", "votes"}, {"--what"}, {"extra"},
		{"--redis-url", "redis://127.0.0.1:6379"}, {"--kafka-brokers", "127.0.0.1:9092"}, {"--floor-only", "--up"},
		{"--up", "--url", "http://127.0.0.1:1/graphql"}, {"--up", "--redis-url", "redis://192.168.0.1:6379"},
		{"--up", "--kafka-brokers", "127.0.0.1:9092,10.0.0.1:9092"}, {"--postgres-url", "postgres://u:p@10.0.0.1/db"},
		{"--postgres-url", "postgres://u:p@127.0.0.1,10.0.0.1/db"},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(args, &stdout, &stderr); code != exitUsage || stderr.Len() == 0 || stdout.Len() > 0 {
			t.Errorf("%q: exit code %d, want %d; it said:\n%s%s", args, code, exitUsage, stdout.String(), stderr.String())
		}
		if strings.Contains(stderr.String(), ":p@") {
			t.Errorf("%q: the password is told:\n%s", args, stderr.String())
		}
	}
	var stdout, stderr bytes.Buffer
	if code := run([]string{"--help"}, &stdout, &stderr); code != exitGood || !strings.Contains(stderr.String(), "--connections") {
		t.Errorf("--help: exit code %d; it said:\n%s", code, stderr.String())
	}
}

func TestSecretsAreHidden(t *testing.T) {
	got := hideSecrets([]string{"--postgres-url", "postgres://me:secret@127.0.0.1/x", "--redis-url=redis://:secret@127.0.0.1", "host=/tmp password=secret user=me", "--json"})
	want := []string{"--postgres-url", "postgres://me:[hidden]@127.0.0.1/x", "--redis-url=redis://:[hidden]@127.0.0.1", "host=/tmp password=[hidden] user=me", "--json"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
}

func TestUpArguments(t *testing.T) {
	got := upArguments(settings{redisURL: "redis://127.0.0.1", kafkaBrokers: []string{"127.0.0.1:1", "127.0.0.1:2"}, postgresURL: "postgres://127.0.0.1/x"}, "127.0.0.1:8", "scratch")
	want := []string{"up", "--listen", "127.0.0.1:8", "--admin-listen", "127.0.0.1:0", "--ticket-cap", "none", "--data-dir", "scratch/data",
		"--redis-url", "redis://127.0.0.1", "--kafka-brokers", "127.0.0.1:1,127.0.0.1:2", "--postgres-url", "postgres://127.0.0.1/x"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
}
