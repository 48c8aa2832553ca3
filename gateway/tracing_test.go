package gateway

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/littlevote/littlevote/libs/testenv"
	"github.com/littlevote/littlevote/libs/tracing"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// traced is a gateway whose spans are kept.
type traced struct {
	*running
	recorder *tracetest.SpanRecorder
}

func startTraced(t testing.TB, cfg Config, sampler sdk.Sampler) *traced {
	t.Helper()
	recorder := tracetest.NewSpanRecorder()
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder), sdk.WithSampler(sampler))
	host := testHost(t)
	host.Tracer = provider.Tracer(tracing.Scope)
	return &traced{startOn(t, cfg, host), recorder}
}

// asAsked samples what its client asks for, and calls that carry some of it, as the sampler of every process does.
func asAsked() sdk.Sampler { return sdk.ParentBased(linked{}) }

type linked struct{}

func (linked) ShouldSample(of sdk.SamplingParameters) sdk.SamplingResult {
	for _, link := range of.Links {
		if link.SpanContext.IsSampled() {
			return sdk.AlwaysSample().ShouldSample(of)
		}
	}
	return sdk.NeverSample().ShouldSample(of)
}

func (linked) Description() string { return "linked" }

// span waits for the first span of a name to end: a request's ends a moment after its answer.
func (g *traced) span(name string) sdk.ReadOnlySpan {
	g.t.Helper()
	var found sdk.ReadOnlySpan
	testenv.Eventually(g.t, 10*time.Second, func() error {
		var names []string
		for _, span := range g.recorder.Ended() {
			if span.Name() == name {
				found = span
				return nil
			}
			names = append(names, span.Name())
		}
		return fmt.Errorf("no span %q among %q", name, names)
	})
	return found
}

func attributesOf(span sdk.ReadOnlySpan) map[string]attribute.Value {
	all := map[string]attribute.Value{}
	for _, a := range span.Attributes() {
		all[string(a.Key)] = a.Value
	}
	return all
}

func (g *traced) isBelow(child, parent sdk.ReadOnlySpan) {
	g.t.Helper()
	if child.Parent().SpanID() != parent.SpanContext().SpanID() || child.SpanContext().TraceID() != parent.SpanContext().TraceID() {
		g.t.Errorf("%s is not below %s", child.Name(), parent.Name())
	}
}

func (g *traced) areLinked(a, b sdk.ReadOnlySpan) {
	g.t.Helper()
	for _, pair := range [][2]sdk.ReadOnlySpan{{a, b}, {b, a}} {
		linked := false
		for _, link := range pair[0].Links() {
			linked = linked || link.SpanContext.Equal(pair[1].SpanContext())
		}
		if !linked {
			g.t.Errorf("%s is not linked with %s", pair[0].Name(), pair[1].Name())
		}
	}
}

func traceparent(span sdk.ReadOnlySpan) string {
	return "00-" + span.SpanContext().TraceID().String() + "-" + span.SpanContext().SpanID().String() + "-01"
}

const (
	clientTrace = "0af7651916cd43dd8448eb211c80319c"
	clientSpan  = "b7ad6b7169203331"
	asked       = "00-" + clientTrace + "-" + clientSpan + "-01"
)

// S73: each stage of a vote is a span with its time, from the client's own down to the call that carried it with others.
func TestS73StagesOfAVoteAreSpans(t *testing.T) {
	fakes := newServices(t)
	var told string
	fakes.vote = func(_ context.Context, vote *votev1.Vote) *votev1.Verdict {
		told = vote.GetTraceparent()
		return counted(vote)
	}
	g := startTraced(t, fakes.config(t), asAsked())
	_, _, header := g.send(http.MethodPost, g.url, `{"query":"mutation { a: ticketAndVote(usernames: [\"A\"]) { success } }"}`,
		"Content-Type", "application/json", "Traceparent", asked, "Tracestate", "secret=1")

	request, operation, vote, call := g.span("POST /graphql"), g.span("mutation ticketAndVote"), g.span("vote"), g.span("CastVotes batch")
	if request.Parent().SpanID().String() != clientSpan || request.SpanContext().TraceID().String() != clientTrace ||
		request.SpanContext().TraceState().Len() > 0 || request.SpanKind() != trace.SpanKindServer {
		t.Errorf("the request does not go on from its client: %v", request)
	}
	g.isBelow(operation, request)
	g.isBelow(vote, operation)
	g.areLinked(vote, call)
	g.isBelow(g.span("littlevote.vote.v1.VoteService/CastVotes"), call)
	if got := header.Get("Traceparent"); got != traceparent(request) {
		t.Errorf("the client is told %q", got)
	}
	if told != traceparent(vote) {
		t.Errorf("the vote-service is told %q", told)
	}
	got := attributesOf(vote)
	if got["littlevote.code"].AsString() != "OK" || got["littlevote.outcome"].AsString() != "COUNTED" || got["littlevote.retries"].AsInt64() != 0 ||
		got["littlevote.queue_wait_ms"].Type() != attribute.FLOAT64 {
		t.Errorf("the vote: %v", vote.Attributes())
	}
	if got := attributesOf(call); got["littlevote.votes"].AsInt64() != 1 {
		t.Errorf("the call: %v", call.Attributes())
	}
	for _, span := range g.recorder.Ended() {
		if span.Status().Code == codes.Error || span.EndTime().Before(span.StartTime()) {
			t.Errorf("%s: %v", span.Name(), span.Status())
		}
	}
}

func TestAVoteThatIsTriedAgainAndFailsIsAnErrorInItsTrace(t *testing.T) {
	fakes := newServices(t)
	calls := 0
	fakes.vote = func(context.Context, *votev1.Vote) *votev1.Verdict {
		if calls++; calls == 1 {
			return refusedWith(statusv1.Code_CODE_UNAVAILABLE)
		}
		return &votev1.Verdict{Code: statusv1.Code_CODE_OUTCOME_UNKNOWN, Outcome: statusv1.Outcome_OUTCOME_UNKNOWN}
	}
	g := startTraced(t, fakes.config(t), sdk.AlwaysSample())
	g.ask(ticketAndVoteDocument, variables{"usernames": []string{"A"}})
	vote := g.span("vote")
	if got := attributesOf(vote); got["littlevote.code"].AsString() != "OUTCOME_UNKNOWN" || got["littlevote.retries"].AsInt64() != 1 ||
		vote.Status().Code != codes.Error || len(vote.Links()) != 2 {
		t.Errorf("%v %v, %d links", vote.Attributes(), vote.Status(), len(vote.Links()))
	}
}

func TestReadsInTraces(t *testing.T) {
	g := startTraced(t, newServices(t).config(t), sdk.AlwaysSample())
	g.ask(`query Board { getTicket { value } getUserVotes(username: "A") { votes } }`, nil)
	operation := g.span("query Board")
	for read, call := range map[string]string{"read GetTicket": "GetTicket batch", "read GetTallies": "GetTallies batch"} {
		g.isBelow(g.span(read), operation)
		g.areLinked(g.span(read), g.span(call))
	}
}

func TestNamesOfOperationsInTraces(t *testing.T) {
	g := startTraced(t, newServices(t).config(t), sdk.AlwaysSample())
	long := "N" + strings.Repeat("o", 64)
	for query, name := range map[string]string{
		`query Mine { getTicket { value } }`:                                               "query Mine",
		`query ` + long + ` { getTicket { value } }`:                                       "query getTicket",
		`{ secret: getAllUserVotes { votes } again: getAllUserVotes { votes } }`:           "query getAllUserVotes",
		`{ ...F ... on Query { __typename } } fragment F on Query { getTicket { value } }`: "query getTicket,__typename",
	} {
		g.ask(query, nil)
		g.span(name)
	}
}

// However many clients ask to be traced, so many are; those that do not ask are by the ratio alone.
func TestHowManyAreTracedBecauseTheyAsk(t *testing.T) {
	g := startTraced(t, newServices(t).config(t), asAsked())
	const body = `{"query":"{ __typename }"}`
	began := time.Now()
	var wait sync.WaitGroup
	var mu sync.Mutex
	answered := 0
	for range 4 {
		wait.Go(func() {
			for range 100 {
				_, _, header := g.send(http.MethodPost, g.url, body, "Content-Type", "application/json", "Traceparent", asked)
				if header.Get("Traceparent") != "" {
					mu.Lock()
					answered++
					mu.Unlock()
				}
			}
		})
	}
	wait.Wait()
	if most := 101 + int(100*time.Since(began).Seconds()); answered < 100 || answered > most {
		t.Errorf("%d are traced, want 100 to %d", answered, most)
	}
	for _, given := range []string{"", "00-" + clientTrace + "-" + clientSpan + "-00", "nonsense", asked + "-more"} {
		_, _, header := g.send(http.MethodPost, g.url, body, "Content-Type", "application/json", "Traceparent", given)
		if header.Get("Traceparent") != "" {
			t.Errorf("%q is traced", given)
		}
	}
}

func TestEveryWayInIsTraced(t *testing.T) {
	fakes := newServices(t)
	cfg := fakes.blogConfig(t, newBlog())
	fakes.tally = tallyOf
	cfg.Gateway.CastListen = "127.0.0.1:0"
	g := startTraced(t, cfg, sdk.AlwaysSample())

	for _, test := range []struct{ url, route string }{
		{"http://" + g.Addr() + "/tiny/graphql", "/tiny/graphql"}, {"http://" + g.DialectAddrs()["cast"] + "/graphql", "/graphql"},
	} {
		g.recorder.Reset()
		g.send(http.MethodPost, test.url, `{"query":"{ query(username: \"A\") }"}`, "Content-Type", "application/json")
		g.areLinked(g.span("read GetTallies"), g.span("GetTallies batch"))
		g.isBelow(g.span("query query"), g.span("POST "+test.route))
	}

	g.recorder.Reset()
	g.send(http.MethodPost, "http://"+g.Addr()+"/api/thumb/do", `{"blogId":`+aPost+`}`, "Content-Type", "application/json",
		"Authorization", "Bearer "+aSession)
	g.isBelow(g.span("like"), g.span("POST /api/thumb/do"))
	g.areLinked(g.span("like"), g.span("ChangeLikes batch"))

	stream := &streaming{t: t, url: g.url}
	g.recorder.Reset()
	events := stream.events(`subscription { tally ` + tallyFields + ` }`)
	events.update()
	g.isBelow(g.span("subscription tally"), g.span("POST /graphql")) // both have ended, while the stream goes on
	g.areLinked(g.span("subscription tally"), g.span("GetTallies live"))
	events.cancel()

	g.recorder.Reset()
	socket := stream.open("")
	request := g.span("GET /graphql")
	socket.subscribe("1", "main")
	socket.update("1")
	g.isBelow(g.span("subscription tally"), request)
}

// What clients send is in no span.
func TestTracesHoldNoValues(t *testing.T) {
	g := startTraced(t, newServices(t).config(t), sdk.AlwaysSample())
	claims := claimsNow("main")
	const key = "0192f0c1-2b3c-7d5e-8f60-718293a4b5c6"
	input := ticketInput(t, claims)
	g.ask(voteDocument, variables{"input": variables{"usernames": []string{"Q"}, "ticket": input, "idempotencyKey": key}})
	g.ask(`query($u: String!) { getUserVotes(username: $u) { votes } all: getUserVotes(username: "Literal") { votes } }`, variables{"u": "Unknown"})
	g.send(http.MethodPost, g.url+"?secret=1", `{"query":"{ nothing(here: \"Literal\") }"}`, "Content-Type", "application/json")
	g.send(http.MethodPost, g.url, `{"query":"{ __typename }"}`, "Content-Type", "application/json", "Authorization", "Bearer secret")
	g.span("CastVotes batch")
	g.span("GetTallies batch")
	value, _ := input["value"].(string)
	secrets := []string{"secret", "Literal", "Unknown", `"Q"`, key, value, claims.Version(), "{", "127.0.0.1:"}
	for _, span := range g.recorder.Ended() {
		text := span.Name() + " " + span.Status().Description
		for _, a := range span.Attributes() {
			text += fmt.Sprintf(" %s=%q", a.Key, a.Value.String())
		}
		for _, event := range span.Events() {
			text += fmt.Sprint(" ", event.Name, len(event.Attributes))
		}
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds %s: %s", span.Name(), secret, text)
			}
		}
	}
}
