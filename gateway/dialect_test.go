package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	queryv1 "github.com/littlevote/littlevote/proto/gen/littlevote/query/v1"
	statusv1 "github.com/littlevote/littlevote/proto/gen/littlevote/status/v1"
	ticketv1 "github.com/littlevote/littlevote/proto/gen/littlevote/ticket/v1"
	votev1 "github.com/littlevote/littlevote/proto/gen/littlevote/vote/v1"
)

// The documents of CAST's own client, to the letter.
const (
	castTicket = `
        query GetTicket {
            cas {
                ticket
                validUntil
                remainingUsage
            }
        }
        `
	castVote = `
        mutation Vote($usernames: [String!]!, $voteCount: [Int!]!, $ticket: String!) {
            vote(usernames: $usernames, voteCount: $voteCount, ticket: $ticket) {
                success
                message
                usernames
                votes
            }
        }
        `
	castQuery = `
        query QueryVotes($username: String!) {
            query(username: $username)
        }
        `
	tinyVote = `mutation($usernames: [String!]!, $ticket: String!) { vote(usernames: $usernames, ticket: $ticket) }`
)

const (
	castValue = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	tinyValue = "0192f0c1-2b3c-4d5e-8f60-718293a4b5c6"
)

// booth is a gateway whose votes run up totals on the ballots cast and tiny, each with one ticket.
type booth struct {
	*services
	*running

	mu     sync.Mutex
	totals map[string]int64
	votes  []*votev1.Vote
}

func newBooth(t *testing.T, change func(*services)) *booth {
	b := &booth{services: newServices(t), totals: map[string]int64{}}
	b.ticket = func(_ context.Context, ballot string) (*ticketv1.Ticket, error) {
		value := map[string]string{"cast": castValue, "tiny": tinyValue}[ballot]
		return &ticketv1.Ticket{
			Ballot: ballot, Value: value, Version: "1.7.2", RemainingUses: 93,
			CreatedAt: timestamppb.New(decidedAt()), ExpiresAt: timestamppb.New(decidedAt().Add(1999 * time.Millisecond)),
		}, nil
	}
	b.vote = func(_ context.Context, vote *votev1.Vote) *votev1.Verdict {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.votes = append(b.votes, vote)
		verdict := &votev1.Verdict{Code: statusv1.Code_CODE_OK, Outcome: statusv1.Outcome_OUTCOME_COUNTED}
		for _, choice := range vote.GetChoices() {
			b.totals[choice.GetCandidate()] += choice.GetCount()
			verdict.Totals = append(verdict.Totals, &votev1.Total{Candidate: choice.GetCandidate(), Votes: b.totals[choice.GetCandidate()]})
		}
		return verdict
	}
	b.tally = func(read *queryv1.TallyRead) *queryv1.Tally {
		b.mu.Lock()
		defer b.mu.Unlock()
		name := read.GetCandidates()[0]
		if name == "" {
			return &queryv1.Tally{Code: statusv1.Code_CODE_INVALID_ARGUMENT}
		}
		return &queryv1.Tally{
			Code: statusv1.Code_CODE_OK, AsOf: timestamppb.New(decidedAt()), Counts: []*queryv1.Count{{Candidate: name, Votes: b.totals[name]}},
		}
	}
	if change != nil {
		change(b.services)
	}
	b.running = b.start(t)
	return b
}

// on asks a dialect.
func (b *booth) on(ballot, document string, values variables) answerJSON {
	b.t.Helper()
	dialect := *b.running
	dialect.url = "http://" + b.Addr() + "/" + ballot + "/graphql"
	return dialect.ask(document, values)
}

// voted is the one vote that a service was sent.
func (b *booth) voted() *votev1.Vote {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.votes) != 1 {
		b.t.Fatalf("%d votes were sent", len(b.votes))
	}
	return b.votes[0]
}

func TestS35QueryIsTheCount(t *testing.T) {
	b := newBooth(t, nil)
	b.totals["alice"] = 5
	for _, ballot := range []string{"cast", "tiny"} {
		for name, want := range map[string]float64{"alice": 5, "whoever": 0, "": 0} {
			if got := b.on(ballot, castQuery, variables{"username": name}); got.Data["query"] != want || got.Errors != nil {
				t.Errorf("%s: %q has %+v, want %v", ballot, name, got, want)
			}
		}
	}
}

func TestS74S75NoCurrentTicketIsAnEmptyOne(t *testing.T) {
	for _, code := range []statusv1.Code{statusv1.Code_CODE_TICKET_EXPIRED, statusv1.Code_CODE_BALLOT_CLOSED} {
		b := newBooth(t, func(s *services) {
			s.ticket = func(context.Context, string) (*ticketv1.Ticket, error) {
				return nil, grpcError(t, codes.FailedPrecondition, &statusv1.ErrorDetail{Code: code, Outcome: statusv1.Outcome_OUTCOME_NONE})
			}
		})
		want := map[string]any{"ticket": "", "validUntil": "", "remainingUsage": 0.0}
		if got := b.on("cast", castTicket, nil); !cmp.Equal(got.Data["cas"], any(want)) || got.Errors != nil {
			t.Errorf("%v: %+v", code, got)
		}
		if got := b.on("tiny", "{ cas }", nil); got.Data["cas"] != "" || got.Errors != nil {
			t.Errorf("%v: %+v", code, got)
		}
		if got := b.on("tiny", tinyVote, variables{"usernames": []string{"a"}, "ticket": ""}); got.Data["vote"] != "ticket 失效" || got.Errors != nil {
			t.Errorf("%v: %+v", code, got)
		}
	}
}

func TestS74CasIsNeverAnError(t *testing.T) {
	b := newBooth(t, func(s *services) {
		s.ticket = func(context.Context, string) (*ticketv1.Ticket, error) {
			return nil, status.Error(codes.Internal, "broken")
		}
	})
	want := map[string]any{"ticket": "", "validUntil": "", "remainingUsage": 0.0}
	if got := b.on("cast", castTicket, nil); !cmp.Equal(got.Data["cas"], any(want)) || got.Errors != nil {
		t.Errorf("%+v", got)
	}
	if got := b.on("tiny", "{ cas }", nil); got.code(t) != "INTERNAL" {
		t.Errorf("%+v", got)
	}
}

// Shedding is a business refusal too: at the door of /graphql it is 429, here it is an answer that the clients know.
func TestS37S52TooManyRequestsAreAnswersToo(t *testing.T) {
	stay := make(chan struct{})
	entered := make(chan struct{}, 1)
	var b *booth
	s := newServices(t)
	s.vote = func(_ context.Context, vote *votev1.Vote) *votev1.Verdict {
		entered <- struct{}{}
		<-stay
		return counted(vote)
	}
	cfg := s.config(t)
	cfg.Gateway.MaxRequests = 1
	b = &booth{services: s, running: start(t, cfg)}
	for _, c := range []struct {
		ballot, document string
		values           variables
		want             any
	}{
		{"cast", castVote, variables{"usernames": []string{"a"}, "voteCount": []int{1}, "ticket": castValue}, refusedVote("The system is busy: try again later")},
		{"tiny", tinyVote, variables{"usernames": []string{"a"}, "ticket": tinyValue}, "未能获取锁，已超时"},
	} {
		var waiting sync.WaitGroup
		waiting.Go(func() { b.on(c.ballot, c.document, c.values) })
		<-entered
		if got := b.on(c.ballot, c.document, c.values); !cmp.Equal(got.Data["vote"], c.want) || got.Errors != nil {
			t.Errorf("%s: %+v", c.ballot, got)
		}
		stay <- struct{}{}
		waiting.Wait()
	}
	if n := b.voteCalls.Load(); n != 2 {
		t.Errorf("%d calls to the vote service", n)
	}
}

// Introspection shows what was published, and nothing else.
func TestS35S36S37S38S52S53SchemasAreThePublishedOnes(t *testing.T) {
	b := newBooth(t, nil)
	for ballot, want := range map[string][]string{
		"cast": {
			"Mutation.vote(usernames:[String!]! voteCount:[Int!]! ticket:String! voterUsername:String):VoteResult!",
			"Query.cas():TicketInfo!", "Query.query(username:String!):Int!",
			"TicketInfo.remainingUsage():Int!", "TicketInfo.ticket():String!", "TicketInfo.validUntil():String!",
			"VoteResult.message():String!", "VoteResult.success():Boolean!", "VoteResult.usernames():[String!]!", "VoteResult.votes():[Int!]!",
		},
		"tiny": {
			"Mutation.vote(usernames:[String!]! ticket:String!):String!",
			"Query.cas():String!", "Query.query(username:String!):Int!",
		},
	} {
		const ref = `{ kind name ofType { kind name ofType { kind name ofType { kind name } } } }`
		got := b.on(ballot, `{ __schema { subscriptionType { name } types { name kind description
			fields { name description args { name type `+ref+` } type `+ref+` } } } }`, nil)
		if diff := cmp.Diff(want, published(t, got.field(t, "__schema"))); diff != "" {
			t.Errorf("%s: %s", ballot, diff)
		}
	}
}

// published lists the fields of a schema's own types.
func published(t *testing.T, schema map[string]any) []string {
	t.Helper()
	text, err := json.Marshal(schema)
	if err != nil {
		t.Fatal(err)
	}
	type typed struct {
		Kind, Name string
		OfType     *typed
	}
	var found struct {
		SubscriptionType *struct{}
		Types            []struct {
			Name, Kind, Description string
			Fields                  []struct {
				Name, Description string
				Args              []struct {
					Name string
					Type typed
				}
				Type typed
			}
		}
	}
	if err := json.Unmarshal(text, &found); err != nil {
		t.Fatal(err)
	}
	var write func(of typed) string
	write = func(of typed) string {
		switch of.Kind {
		case "NON_NULL":
			return write(*of.OfType) + "!"
		case "LIST":
			return "[" + write(*of.OfType) + "]"
		default:
			return of.Name
		}
	}
	var list []string
	for _, named := range found.Types {
		if strings.HasPrefix(named.Name, "__") || named.Kind == "SCALAR" {
			continue
		}
		if named.Description != "" || named.Kind != "OBJECT" {
			t.Errorf("%s is %s: %q", named.Name, named.Kind, named.Description)
		}
		for _, field := range named.Fields {
			var args []string
			for _, arg := range field.Args {
				args = append(args, arg.Name+":"+write(arg.Type))
			}
			if field.Description != "" {
				t.Errorf("%s.%s says %q", named.Name, field.Name, field.Description)
			}
			list = append(list, named.Name+"."+field.Name+"("+strings.Join(args, " ")+"):"+write(field.Type))
		}
	}
	if found.SubscriptionType != nil {
		t.Error("there are subscriptions")
	}
	slices.Sort(list)
	return list
}

// The limits of /graphql hold here too.
func TestDialectsAreBounded(t *testing.T) {
	b := newBooth(t, nil)
	var deep strings.Builder
	deep.WriteString("{ __schema { types { fields { type { ")
	for range 20 {
		deep.WriteString("ofType { ")
	}
	deep.WriteString("name" + strings.Repeat(" }", 25))
	var aliases, mutations strings.Builder
	for i := range 60 {
		aliases.WriteString(" a" + strings.Repeat("b", i) + ": cas { ticket }")
	}
	for i := range 11 {
		mutations.WriteString(" m" + strings.Repeat("n", i) + `: vote(usernames: ["a"], voteCount: [1], ticket: "x") { message }`)
	}
	for name, document := range map[string]string{
		"depth": deep.String(), "aliases": "{" + aliases.String() + "}", "mutations": "mutation {" + mutations.String() + "}",
	} {
		if got := b.on("cast", document, nil); got.code(t) != "LIMIT_EXCEEDED" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	url := "http://" + b.Addr() + "/cast/graphql"
	large := `{"query":"{ cas { ticket } }","variables":{"x":"` + strings.Repeat("x", 70<<10) + `"}}`
	if status, _, _ := b.send(http.MethodPost, url, large, "Content-Type", "application/json"); status != http.StatusRequestEntityTooLarge {
		t.Errorf("a large body: %d", status)
	}
	if status, _, _ := b.send(http.MethodGet, url+"?query=mutation%7Bvote(usernames:%5B%22a%22%5D,voteCount:%5B1%5D,ticket:%22x%22)%7Bmessage%7D%7D", ""); status != http.StatusMethodNotAllowed {
		t.Errorf("a mutation by GET: %d", status)
	}
	if status, _, _ := b.send(http.MethodPost, url, `{"query":"{ cas { ticket } }"}`, "Content-Type", "text/plain"); status != http.StatusUnsupportedMediaType {
		t.Errorf("what a form could send: %d", status)
	}
}

func TestS49S50DialectsOnPortsOfTheirOwn(t *testing.T) {
	s := newServices(t)
	cfg := s.config(t)
	cfg.Gateway.CastListen, cfg.Gateway.TinyListen = "127.0.0.1:0", "127.0.0.1:0"
	r := start(t, cfg)
	for ballot, document := range map[string]string{"cast": "{ cas { remainingUsage } }", "tiny": "{ cas }"} {
		address := "http://" + r.DialectAddrs()[ballot]
		dialect := *r
		dialect.url = address + "/graphql"
		if got := dialect.ask(document, nil); got.Errors != nil || got.Data["cas"] == "" {
			t.Errorf("%s: %+v", ballot, got)
		}
		if status, _, _ := r.send(http.MethodGet, address+"/healthz", ""); status != http.StatusOK {
			t.Errorf("%s: /healthz is %d", ballot, status)
		}
		if status, _, _ := r.send(http.MethodGet, address+"/playground", ""); status != http.StatusNotFound {
			t.Errorf("%s: more than the dialect is served there", ballot)
		}
	}
	for key, change := range map[string]func(*Settings){
		"cast-listen": func(s *Settings) { s.CastListen = "here" }, "tiny-listen": func(s *Settings) { s.TinyListen = ":" },
		"path": func(s *Settings) { s.Path = "/cast/graphql" },
	} {
		bad := DefaultConfig().Gateway
		change(&bad)
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", key, err)
		}
	}
	cfg.Listen, cfg.Gateway.TinyListen = "127.0.0.1:0", r.DialectAddrs()["cast"]
	if _, err := New(t.Context(), cfg, testHost(t)); err == nil || !strings.Contains(err.Error(), "gateway.tiny-listen") {
		t.Errorf("an address that is taken: %v", err)
	}
}

// Who needs no token may leave it out; a bad one is no better here than elsewhere, and tenants have their own ballots.
func TestDialectsKnowWhoCalls(t *testing.T) {
	b := newBooth(t, nil)
	url := "http://" + b.Addr() + "/cast/graphql"
	body := `{"query":"mutation { vote(usernames: [\"a\"], voteCount: [1], ticket: \"` + castValue + `\") { success } }"}`
	if status, text, _ := b.send(http.MethodPost, url, body, "Content-Type", "application/json", "Authorization", "Bearer x.y.z"); status != http.StatusUnauthorized {
		t.Errorf("%d: %s", status, text)
	}
	b.send(http.MethodPost, url, body, "Content-Type", "application/json", "Littlevote-Tenant", "acme")
	if vote := b.voted(); vote.GetBallot() != "acme.cast" || vote.GetVoter() != "" {
		t.Errorf("sent %v", vote)
	}
}

// There is nothing to subscribe to, so nobody holds a connection open for that.
func TestDialectsTakeNoWebSockets(t *testing.T) {
	b := newBooth(t, nil)
	status, _, _ := b.send(http.MethodGet, "http://"+b.Addr()+"/cast/graphql", "", "Connection", "Upgrade", "Upgrade", "websocket",
		"Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol", "graphql-transport-ws")
	if status < http.StatusBadRequest {
		t.Errorf("status %d", status)
	}
}
