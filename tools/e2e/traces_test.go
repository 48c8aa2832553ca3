package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/tools/e2e/internal/fixture"
	"github.com/littlevote/littlevote/tools/internal/otlp"
	"github.com/littlevote/littlevote/tools/internal/system"
	"github.com/littlevote/littlevote/tools/internal/votetrace"
)

// TestS73TheWayOfAVote follows one vote through the traces of all processes, over the links between it and the batches that carried
// it: with everything there, and past a Kafka that is away. Nothing is traced but what its client asks for.
func TestS73TheWayOfAVote(t *testing.T) {
	kafka, collector := fixture.OwnKafka(t), otlp.Start(t)
	flags := map[system.Kind][]string{}
	for _, kind := range system.Kinds() {
		flags[kind] = []string{"--trace-endpoint=" + collector.URL, "--trace-ratio=0"}
	}
	flags[system.Vote] = append(flags[system.Vote], "--vote-produce-timeout=300ms")
	s := fixture.Start(t, system.Config{Stores: system.Stores{Kafka: kafka.Brokers}, Flags: flags})

	const trace = "0af7651916cd43dd8448eb211c80319"
	follow := func(trace string, ledger votetrace.Ledger) {
		t.Helper()
		voteInTrace(t, s, trace)
		testenv.Eventually(t, 30*time.Second, func() error { return votetrace.Way(collector.Spans(), trace, ledger) })
	}
	follow(trace+"a", votetrace.Redis)
	kafka.Stop()
	follow(trace+"b", votetrace.RedisNoLog)
	// Lines of the log lead to the trace.
	spans := collector.Spans()
	if log := s.Service(system.Vote, 0).Stderr(); !tellsTrace(log, spans) {
		t.Errorf("no line of the vote-service names a trace:\n%s", log)
	}
	kafka.Start(t)
	s.AwaitRest(t)
	asked := map[string]bool{trace + "a": true, trace + "b": true}
	for _, span := range spans {
		if len(span.Links) == 0 && span.Parent == "" && !asked[span.Trace] {
			t.Errorf("nobody asked for %s of the %s", span.Name, span.Service)
		}
	}
	if t.Failed() {
		var tree strings.Builder
		for trace := range asked {
			_ = votetrace.Print(&tree, spans, trace)
		}
		t.Log("\n" + tree.String())
	}
}

// voteInTrace casts a vote whose client traces it.
func voteInTrace(t *testing.T, s *system.System, trace string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.Service(system.Gateway, 0).Address+"/graphql",
		strings.NewReader(`{"query":"mutation { ticketAndVote(usernames: [\"A\"]) { outcome } }"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Traceparent", "00-"+trace+"-b7ad6b7169203331-01")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct {
		Data struct{ TicketAndVote struct{ Outcome string } }
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Data.TicketAndVote.Outcome != "COUNTED" {
		t.Fatalf("%+v, %v", answer, err)
	}
	if named := response.Header.Get("Traceparent"); !strings.HasPrefix(named, "00-"+trace+"-") || !strings.HasSuffix(named, "-01") {
		t.Errorf("the client is told %q", named)
	}
}

// tellsTrace reports whether a line of a log names a span that was sent.
func tellsTrace(log string, spans votetrace.Spans) bool {
	sent := map[votetrace.ID]bool{}
	for _, span := range spans {
		sent[span.ID] = true
	}
	for line := range strings.Lines(log) {
		var said struct {
			Trace string `json:"trace_id"`
			Span  string `json:"span_id"`
		}
		if json.Unmarshal([]byte(line), &said) == nil && sent[votetrace.ID(said)] {
			return true
		}
	}
	return false
}
